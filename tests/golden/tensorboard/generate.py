"""Golden bytes of a TensorBoard event file: Google's protobuf, and TFRecord's frame written out.

    python generate.py        # writes events.bin beside itself; see README.md for the versions

The messages are those of tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto, the fields this
project writes alone. CRC-32C is computed bit by bit from its polynomial.
"""

import math
import struct
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HERE = Path(__file__).parent
FIELD = descriptor_pb2.FieldDescriptorProto


def messages():
    """Classes of the messages, by name."""
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="tensorflow", syntax="proto3")

    def message(name, *fields, oneof=None):
        new = file.message_type.add(name=name)
        if oneof:
            new.oneof_decl.add(name=oneof)
        for number, field, kind, choice in fields:
            one = new.field.add(name=field, number=number, label=FIELD.LABEL_OPTIONAL)
            if isinstance(kind, str):
                one.type, one.type_name = FIELD.TYPE_MESSAGE, f".tensorflow.{kind}"
            else:
                one.type = kind
            if choice:
                one.oneof_index = 0
        return new

    status = file.enum_type.add(name="SessionStatus")
    for number, name in enumerate(["STATUS_UNSPECIFIED", "START", "STOP", "CHECKPOINT"]):
        status.value.add(name=name, number=number)
    session = message("SessionLog")
    session.field.add(
        name="status", number=1, label=FIELD.LABEL_OPTIONAL, type=FIELD.TYPE_ENUM, type_name=".tensorflow.SessionStatus"
    )
    message("Value", (1, "tag", FIELD.TYPE_STRING, False), (2, "simple_value", FIELD.TYPE_FLOAT, True), oneof="value")
    summary = message("Summary", (1, "value", "Value", False))
    summary.field[0].label = FIELD.LABEL_REPEATED
    message(
        "Event",
        (1, "wall_time", FIELD.TYPE_DOUBLE, False),
        (2, "step", FIELD.TYPE_INT64, False),
        (3, "file_version", FIELD.TYPE_STRING, True),
        (5, "summary", "Summary", True),
        (7, "session_log", "SessionLog", True),
        oneof="what",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ["Event", "Summary", "Value", "SessionLog"]
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.{n}")) for n in names}


def crc32c(data):
    """Castagnoli's polynomial, reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data):
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def main():
    assert crc32c(b"123456789") == 0xE3069283, "the check value of CRC-32C"
    kinds = messages()
    event, summary, value, session = (kinds[n] for n in ["Event", "Summary", "Value", "SessionLog"])

    def scalars(**numbers):
        return summary(value=[value(tag=tag.replace("__", "/"), simple_value=n) for tag, n in numbers.items()])

    events = [
        event(wall_time=1790000000.25, step=0, file_version="brain.Event:2"),
        event(wall_time=1790000001.5, step=18, session_log=session(status=1)),
        event(
            wall_time=1790000002.75,
            step=18,
            summary=scalars(train__loss=3.25, train__learning_rate=1e-3, train__grad_norm=0.0),
        ),
        event(
            wall_time=1790000003.125,
            step=300,
            summary=scalars(valid__loss=2.5, valid__perplexity=math.exp(2.5), valid__auroc=0.875),
        ),
    ]
    data = b"".join(record(e.SerializeToString(deterministic=True)) for e in events)
    (HERE / "events.bin").write_bytes(data)
    print(f"{len(events)} events, {len(data)} bytes")


if __name__ == "__main__":
    main()
