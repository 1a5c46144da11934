"""Small tables of MIMIC-III with every rule of the tasks in them, and what CORe's way of working makes of them.

The samples are computed with pandas (below 2) and regular expressions, as CORe's scripts do; ventilation with pandas,
by taking events apart at each start. Nothing here shares code with the program under test.

`python generate.py` rewrites `mimic3/`, `splits/` and `expected/` in this folder.
"""

import csv
import datetime
import hashlib
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd

assert pd.__version__.startswith("1."), "CORe's replacements are regular expressions only below pandas 2"

HERE = Path(__file__).resolve().parent
SEED = 41
RNG = random.Random(SEED)

HEADERS = {
    "CHIEF COMPLAINT": "chief complaint:",
    "PRESENT ILLNESS": "present illness:",
    "MEDICAL HISTORY": "medical history:",
    "MEDICATION ON ADMISSION": "medications on admission:",
    "ALLERGIES": "allergies:",
    "PHYSICAL EXAM": "physical exam:",
    "FAMILY HISTORY": "family history:",
    "SOCIAL HISTORY": "social history:",
}

# --- the notes ------------------------------------------------------------------------------------------------------


def summary(complaint="chest pain", illness="Came in with pain.", history="CAD", exam="Lungs clear", **others):
    """A plain discharge summary; `others` adds or replaces blocks by header."""
    blocks = {
        "Chief Complaint": complaint,
        "Major Surgical or Invasive Procedure": "None",
        "History of Present Illness": illness,
        "Past Medical History": history,
        "Social History": "Lives with [**Name (NI) **] wife.",
        "Family History": "Father died of MI.",
        "Physical Exam": exam,
        "Pertinent Results": "WBC 11.2",
    } | {key.replace("_", " "): value for key, value in others.items()}
    return "\n\n".join(f"{header}:\n{body}" for header, body in blocks.items() if body is not None)


PLAIN = summary()

# One text (or list of (date, description, text)) a line; every one becomes an admission of its own.
NOTES = {
    "plain": PLAIN,
    "upper case headers": PLAIN.upper(),
    "header inside a sentence": summary(illness="See past medical history: below.\n\nHe also has COPD"),
    "physical examination does not count": PLAIN.replace("Physical Exam:", "Physical Examination:"),
    "several paragraphs": summary(illness="First paragraph.\n\nSecond, no header\n\n1. List: with digit\n\n(a): bracket"),
    "run with digits": summary(history="one\n\nLabs 2:\nx\n\nMeds (old):\ny\n\nDr. X:\nz\n\na|b:\nq\n\nEnd of it"),
    "run with unicode digits": summary(history="one\n\nLabs ٣:\nx\n\nLabs ²:\ny"),
    "run with colons and quotes": summary(complaint='pain\n\n"so, he said": it/was: here'),
    "run of one colon": summary(complaint="pain\n\n:\n\n::x"),
    "run begins with blanks": summary(complaint="pain\n\n  \tIndented prose without a stop: yes"),
    "run begins with nbsp": summary(complaint="pain\n\n\u00a0Header: yes"),
    "last section has no end": "Chief Complaint:\nfall\n\nAllergies:\nnone known",
    "only the first has an end": "Chief Complaint:\nfall\n\nPast Medical History:\nnone",
    "empty section swallows": summary(complaint="").replace("Chief Complaint:\n\n", "Chief Complaint:\n\n"),
    "header then line end then blank line": summary(complaint="\n"),
    "header directly at blank line": "Chief Complaint:\n\nAllergies: Penicillin\n\nAttending: X\n\nPresent Illness: ill\n\nEnd: x",
    "empty main sections": "Chief Complaint:\n\n\nPresent Illness:\n\n\nMedical History:\n \n\nAllergies:\nnone\n\nEnd:",
    "no section at all": "Report was lost.",
    "line with a blank": "Chief Complaint:\nfall\n \nAllergies:\nnone\n \nHistory of Present Illness:\nfell\n\nSex: F",
    "line with a tab": "Chief Complaint:\nfall\n\t\nAllergies:\nnone\n\nSex: F",
    "crlf": PLAIN.replace("\n", "\r\n"),
    "cr inside a body": summary(illness="a\rb\r\nc"),
    "three blank lines": PLAIN.replace("\n\n", "\n\n\n\n"),
    "literal backslash n": r"Chief Complaint: a\nb\n\nAllergies: none\n\nPresent Illness: fell \\n off\n\nSex: F",
    "backslash at line end": summary(illness="a\\\nb\\\n\nEnd: c"),
    "backslashes before markers": summary(history="a \\\\n\\n b\\N c\\\\\n\nNext: d"),
    "quotes": summary(illness='He said "no" and ""never"", twice'),
    "comma and quote at ends": summary(complaint='"quoted",'),
    "unicode blanks around": "\u00a0\u0085\x1c\x1f\u2003" + summary(complaint="\u00a0 pain\u2003\x1d") + "\u2028\u3000\x1e",
    "zero width space stays": summary(complaint="\u200bpain\u200b"),
    "long s and dotted i": summary().replace("Chief Complaint:", "Chıef Complaİnt:").replace("Allergies", "Allergieſ"),
    "kelvin": summary().replace("Past Medical History:", "Past Medical Hi\u017ftory:"),
    "two chief complaints": summary() + "\n\nChief Complaint:\nsecond\n\nSex: M",
    "second header has the end": "Chief Complaint: first\n\n2nd chief complaint: second\n\nSex: M",
    "marks stay": summary(illness="Seen on [**2151-7-16**] at [**Hospital1 18**]."),
    "all blocks": summary(Medications_on_Admission="1. ASA 81mg daily\n2. Lasix", Allergies="Penicillins / Sulfa (Rash)"),
    "medications header with more": summary(Medications_on_Admission="x").replace(
        "Medications on Admission:", "Home medications on admission: "
    ),
    "body starting with brackets": summary(complaint="[] nothing"),
    "emoji and accents": summary(complaint="douleur à l'épaule 😀"),
    "form feed and vertical tab": summary(complaint="\x0bpain\x0c"),
    "ends in a blank line": PLAIN + "\n\n\n",
    "begins with blank lines": "\n\n \n" + PLAIN,
    # --- what tells of a death
    "death in the exam": summary(exam="Pt expired. Mother patient had\texpired too"),
    "death in the exam twice": summary(exam="patient died, then the pt died"),
    "death in the exam two lines": summary(exam="ok\npatient has died"),
    "expired air": summary(exam="wheeze on expired air"),
    "deceased in medication": summary(Medications_on_Admission="none, deceased mother took ASA"),
    "passed away in history": summary(history="patient passed away"),
    "patient had two blanks": summary(history="patient had  died"),
    "pt had": summary(history="PT\u00a0HAD\u00a0EXPIRED"),
    "script expired": summary(history="his script expired in May"),
    "father died": summary(history="father died young, wife deceased"),
    "she expired": summary(illness="Then She Expired."),
    "the expired": summary(illness="used the expired drug"),
    "pronounced expired": summary(illness="was pronounced expired"),
    "time of death": summary(illness="Time Of Death 10:30"),
    "exam words elsewhere": summary(illness="on physical exam: pt died; medication on admission: has passed away, expired"),
    "exam header in the exam": summary(exam="physical exam: had expired pt expired"),
    "exam then long s": summary(exam="patient haſ paſſed away"),
    "exam phrase at the colon": "Chief Complaint: x\n\nPhysical Exam: expired\n\nSex: F",
    "patient across lines": summary(history="patient\nexpired"),
    "patient across a blank line": summary(history="a patient\n\nexpired early"),
    "passed  away with two blanks": summary(history="patient passed  away"),
    # --- addenda
    "addendum after": [("2150-01-02", "Report", summary(complaint="first")), ("2150-01-09", "Addendum", "Addendum:\nlater\n")],
    "addendum ends the last section": [
        ("2150-01-02", "Report", "Chief Complaint:\nfall\n\nAllergies:\nnone known"),
        ("2150-01-03", "Addendum", "Addendum:\nnothing new"),
    ],
    "addendum before": [
        ("2150-02-03", "Report", summary(complaint="of the report")),
        ("2150-02-01", "Addendum", "Chief Complaint:\nof the addendum\n\nSex: F"),
    ],
    "addendum on the same day": [
        ("2150-03-01", "Addendum", "Chief Complaint:\naddendum first in file\n\nSex: F"),
        ("2150-03-01", "Report", summary(complaint="report second in file")),
    ],
    "two reports": [
        ("2150-04-02", "Report", summary(complaint="second report")),
        ("2150-04-01", "Report", summary(complaint="first report")),
    ],
    "addendum without report": [("2150-05-01", "Addendum", summary(complaint="no report"))],
    "boilerplate repeated later": [
        ("2150-06-01", "Report", "Chief Complaint:\nfall\n\nAllergies:\nearlier"),
        ("2150-06-02", "Addendum", "Addendum:\nSee the chart"),
    ],
    "boilerplate again": [
        ("2150-06-01", "Report", "Chief Complaint:\nsyncope\n\nAllergies:\nlater"),
        ("2150-06-05", "Addendum", "Addendum:\nSee the chart"),
    ],
    "report repeated in another admission": [("2150-07-01", "Report", summary(complaint="copied text"))],
    "the later copy": [("2150-07-02", "Report", summary(complaint="copied text"))],
    "copies on one day": [("2150-08-01", "Report", summary(complaint="same day"))],
    "copies on one day again": [("2150-08-01", "Report", summary(complaint="same day"))],
    "repeat that differs by a blank": [
        ("2150-09-01", "Report", summary(complaint="twice")),
        ("2150-09-02", "Addendum", summary(complaint="twice") + " "),
    ],
    "without a date last": [
        (None, "Report", summary(complaint="undated")),
        ("2150-10-01", "Addendum", "Chief Complaint:\ndated\n\nSex: F"),
    ],
    "null text": [("2150-11-01", "Report", "NA"), ("2150-11-02", "Report", summary(complaint="other")), ("2150-11-03", "Addendum", "nan")],
    "only null text": [("2150-11-01", "Report", "N/A")],
    "na with a blank is text": [("2150-11-01", "Report", summary(complaint="na follows")), ("2150-11-02", "Addendum", "NA ")],
    "blank text": [("2150-12-01", "Report", " \n\u00a0\n ")],
}

# --- the tables -----------------------------------------------------------------------------------------------------

DAY = 86_400


def stamp(seconds):
    return (pd.Timestamp("2150-01-01") + pd.Timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")


# Seconds of stays: either side of 3.05, 7.05 and 14.05 days, exact halves, and plain ones.
STAYS = [round(edge * DAY) + off for edge in (3.05, 7.05, 14.05) for off in (-1, 0, 1)]
STAYS += [3 * DAY, 3 * DAY + 1, 7 * DAY, 14 * DAY, 15 * DAY, 1800, 0, -3600, 5 * DAY, 259_199, 263_519, 1_209_601, 1_213_919]


def make_admissions():
    """One admission for each case, some of one patient, a few without notes, newborns, and each length of stay."""
    rows = []
    names = list(NOTES) + ["newborn", "never in ADMISSIONS", "no note", "no id"]
    # Lengths of stay get plain notes of their own, so that every edge reaches the output.
    names += [f"stay {seconds}" for seconds in STAYS]
    subject = 40
    for number, name in enumerate(names):
        if number % 4 != 3:  # every fourth admission is the patient's second
            subject += RNG.randint(1, 9)
        seconds = int(name.split()[1]) if name.startswith("stay ") else RNG.randint(3600, 20 * DAY)
        admitted = RNG.randint(0, 300) * DAY + RNG.randint(0, DAY - 1)
        rows.append(
            {
                "name": name,
                "ROW_ID": 1000 + number,
                "SUBJECT_ID": subject,
                "HADM_ID": 100_000 + RNG.randint(0, 9) + 10 * RNG.randint(0, 9) + 100 * number,
                "ADMITTIME": stamp(admitted),
                "DISCHTIME": stamp(admitted + seconds),
                "ADMISSION_TYPE": "NEWBORN" if name == "newborn" else RNG.choice(["EMERGENCY", "ELECTIVE", "URGENT"]),
                "HOSPITAL_EXPIRE_FLAG": 0 if name.startswith("stay ") else int(number % 5 == 2),
            }
        )
    RNG.shuffle(rows)
    return pd.DataFrame(rows)


def make_notes(admissions, bedside):
    """`bedside` are further rows: notes of nurses and therapists around the start of ventilation."""
    rows = list(bedside)
    for row in admissions.itertuples():
        if row.name == "no note":
            continue
        texts = NOTES.get(row.name) or summary(illness=f"Case {row.name}.")
        if isinstance(texts, str):
            day = RNG.randint(1, 28)
            texts = [(f"2150-{RNG.randint(1, 12):02d}-{day:02d}", "Report", texts)]
        for date, description, text in texts:
            hadm = "" if row.name == "no id" else row.HADM_ID
            rows.append([row.SUBJECT_ID, hadm, date or "", "", "Discharge summary", description, text])
        if RNG.random() < 0.4:
            date = f"2150-{RNG.randint(1, 12):02d}-11"
            rows.append([row.SUBJECT_ID, row.HADM_ID, date, f"{date} 10:00:00", "Nursing", "Report", "pt resting\n\nPlan: rest"])
        if RNG.random() < 0.2:  # other categories, and a spelling that is not the category
            category = RNG.choice(["Discharge Summary", "Discharge summary ", "Radiology"])
            rows.append([row.SUBJECT_ID, row.HADM_ID, "2150-01-01", "", category, "Report", summary(complaint="wrong category")])
    # Not all in the order of HADM_ID, and the order of equal dates matters: keep each admission's own rows in order.
    columns = ["SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "CATEGORY", "DESCRIPTION", "TEXT"]
    notes = pd.DataFrame(rows, columns=columns)
    notes.insert(0, "ROW_ID", range(1, len(notes) + 1))
    notes["ISERROR"] = ["1" if i % 11 == 5 else "" for i in range(len(notes))]
    return notes


DIAGNOSES = ["4019", "0389", "042", "V3000", "V08", "E8791", "E9342", "99591", "03819", "42731", "4280", "4011", "40301", "V5867"]
DIAGNOSES += ["1400", "35801", "94133", "94842", "94820", "V594"]
PROCEDURES = ["0331", "3310", "3311", "0034", "0040", "966", "9671", "9672", "3893", "331", "0159", "51", "4523"]
TITLES = {
    "0331": "Spinal tap",
    "3310": "Incision of lung",
    "V594": "Kidney donors",
}


def make_codes(admissions, codes, rng_weight):
    rows = []
    for row in admissions.itertuples():
        for seq in range(RNG.randint(0, rng_weight)):
            code = RNG.choice(codes)
            code = RNG.choice(["", "NA"]) if RNG.random() < 0.05 else code
            rows.append([row.SUBJECT_ID, row.HADM_ID, seq + 1, code])
    table = pd.DataFrame(rows, columns=["SUBJECT_ID", "HADM_ID", "SEQ_NUM", "ICD9_CODE"])
    table.insert(0, "ROW_ID", range(5000, 5000 + len(table)))
    return table


def code_table(codes):
    rows = [[number, code, f"t {code}", TITLES.get(code, f"Condition {code}, \"so\" called")] for number, code in enumerate(codes)]
    return pd.DataFrame(rows, columns=["ROW_ID", "ICD9_CODE", "SHORT_TITLE", "LONG_TITLE"])


def write(table, name, columns=None, **options):
    options = {"quoting": csv.QUOTE_NONNUMERIC} | options
    table.drop(columns=["name"], errors="ignore")[columns or [c for c in table.columns if c != "name"]].to_csv(
        HERE / name, index=False, lineterminator="\n", **options
    )


# --- CORe's way -----------------------------------------------------------------------------------------------------


def core_notes(folder):
    """filter_notes and filter_admission_text: one row an admission with SUBJECT_ID and the admission note."""
    notes = pd.read_csv(folder / "NOTEEVENTS.csv", dtype={"HADM_ID": "Int64", "ISERROR": str})
    admissions = pd.read_csv(folder / "ADMISSIONS.csv")
    others = admissions[admissions.ADMISSION_TYPE != "NEWBORN"]
    notes = notes[notes.HADM_ID.isin(others.HADM_ID)].dropna(subset=["TEXT", "HADM_ID"])
    notes = notes[notes.CATEGORY == "Discharge summary"]
    notes = notes.sort_values(by="CHARTDATE", kind="stable")
    notes = notes.drop_duplicates(subset="TEXT", keep="last")
    texts = notes.groupby("HADM_ID")["TEXT"].agg("\n\n".join)
    reports = notes[notes.DESCRIPTION == "Report"].drop_duplicates(subset="HADM_ID", keep="last").set_index("HADM_ID")
    frame = texts.to_frame("TEXT").join(reports[["SUBJECT_ID"]], how="inner")
    frame["TEXT"] = frame.TEXT.str.strip().replace("", pd.NA)
    frame = frame.dropna(subset=["TEXT", "SUBJECT_ID"])
    marked = frame.TEXT.str.replace(r"\n", r"\\n", regex=True)
    bodies = pd.DataFrame(index=frame.index)
    for label, header in HEADERS.items():
        pattern = "(?i)" + re.escape(header) + r"(.+?)\\n\\n[^(\\|\d|\.)]+?:"
        found = marked.str.extract(pattern)[0]
        bodies[label] = found.str.replace(r"\\n", " ", regex=True).str.strip().fillna("")
    main = (bodies["CHIEF COMPLAINT"] != "") | (bodies["PRESENT ILLNESS"] != "") | (bodies["MEDICAL HISTORY"] != "")
    frame["text"] = bodies.apply(lambda row: "\n\n".join(f"{label}: {row[label]}" for label in HEADERS), axis=1)
    return frame[main][["SUBJECT_ID", "text"]]


def los(notes, admissions):
    frame = notes.join(admissions, how="inner")
    frame = frame[frame.HOSPITAL_EXPIRE_FLAG == 0]
    seconds = (pd.to_datetime(frame.DISCHTIME) - pd.to_datetime(frame.ADMITTIME)).dt.total_seconds()
    days = np.round(seconds.to_numpy() / DAY, 1)
    frame["label"] = pd.cut(days, [-np.inf, 3, 7, 14, np.inf], labels=["0", "1", "2", "3"]).astype(str)
    return frame[["text", "label"]]


VERB = r"(?:expired|died|passed away|deceased)"


def mor(notes, admissions):
    frame = notes.join(admissions, how="inner")
    forgiven = re.compile(
        r"((?:physical exam|medication on admission):[^\n]*?)(?:(?:patient|pt)?\s+(?:had\s|has\s)?" + VERB + ")", re.IGNORECASE
    )
    told = re.compile(r"(?:patient|pt)\s+(?:had\s|has\s)?" + VERB, re.IGNORECASE)
    telling = re.compile("he expired|pronounced expired|time of death", re.IGNORECASE)
    frame["text"] = frame.text.map(lambda text: forgiven.sub(r"\1", text))
    frame = frame[~frame.text.map(lambda text: bool(told.search(text) or telling.search(text)))]
    return frame.assign(label=frame.HOSPITAL_EXPIRE_FLAG.astype(str))[["text", "label"]]


def short_codes(folder, name, whole_numbers):
    codes = pd.read_csv(folder / name, dtype={"ICD9_CODE": str}).dropna(subset=["ICD9_CODE"])
    if whole_numbers:
        codes["ICD9_CODE"] = codes.ICD9_CODE.astype(int).astype(str)
    starts = codes.ICD9_CODE.str[0].isin(["V", "E"])
    codes["short"] = np.where(starts, codes.ICD9_CODE.str[:4], codes.ICD9_CODE.str[:3])
    labels = codes.drop_duplicates(["HADM_ID", "short"]).groupby("HADM_ID")["short"].agg(",".join)
    return labels, list(dict.fromkeys(codes.short))


def coded(notes, labels):
    return notes.join(labels.rename("label"), how="inner")[["text", "label"]]


# --- ventilation ----------------------------------------------------------------------------------------------------

SETTINGS = {
    "minute volume": [445, 448, 449, 450, 1340, 1486, 1600, 224687],
    "tidal volume": [639, 654, 681, 682, 683, 684, 224684, 224685, 224686],
    "airway pressures": [218, 436, 535, 444, 459, 224697, 224695, 224696, 224746, 224747],
    "inspiratory pressure": [221, 1, 1211, 1655, 2000, 226873, 224738, 224419, 224750, 227187],
    "plateau, APRV": [543, 5865, 5866, 224705, 224706, 224707, 224709],
    "PEEP": [60, 437, 505, 506, 686, 220339, 224700],
    "others": [3459, 501, 502, 503, 224702, 223, 667, 668, 669, 670, 671, 672, 224701],
}
ALL_SETTINGS = [item for items in SETTINGS.values() for item in items]
OXYGEN_467 = ["Cannula", "Nasal Cannula", "Face Tent", "Aerosol-Cool", "Trach Mask", "Hi Flow Neb", "Non-Rebreather"]
OXYGEN_467 += ["Venti Mask", "Medium Conc Mask", "Vapotherm", "T-Piece", "Hood", "Hut", "TranstrachealCat", "Heated Neb"]
OXYGEN_467 += ["Ultrasonic Neb"]
OXYGEN_226732 = ["Nasal cannula", "Face tent", "Aerosol-cool", "Trach mask ", "High flow neb", "Non-rebreather"]
OXYGEN_226732 += ["Venti mask ", "Medium conc mask ", "T-piece", "High flow nasal cannula", "Ultrasonic neb", "Vapomist"]
EXTUBATIONS = [227194, 225468, 225477]


def make_births(admissions):
    """Ages of exactly either side of 18 years among them, one patient of 300, one without a row."""
    rows = []
    for number, (subject, group) in enumerate(admissions.groupby("SUBJECT_ID")):
        admitted = pd.Timestamp(group.ADMITTIME.min()).normalize()
        days = {3: 6574, 6: 6575, 9: 109_600, 12: 0}.get(number, RNG.randint(19 * 366, 88 * 366))
        if number != 15:
            born = admitted.to_pydatetime() - datetime.timedelta(days=days)
            rows.append([number, subject, born.strftime("%Y-%m-%d %H:%M:%S")])
    return pd.DataFrame(rows, columns=["ROW_ID", "SUBJECT_ID", "DOB"])


def make_stays(admissions):
    rows = []
    for row in admissions.itertuples():
        for stay in range(RNG.choice([0, 1, 1, 1, 2])):
            into = pd.Timestamp(row.ADMITTIME) + pd.Timedelta(seconds=RNG.randint(0, 3 * DAY) + stay * DAY)
            rows.append([row.SUBJECT_ID, row.HADM_ID, 0, into.strftime("%Y-%m-%d %H:%M:%S")])
    RNG.shuffle(rows)
    table = pd.DataFrame(rows, columns=["SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "INTIME"])
    table["ICUSTAY_ID"] = [200_000 + 7 * number for number in range(len(table))]
    table.insert(0, "ROW_ID", range(len(table)))
    return table


def make_events(stays):
    """Signs of ventilation with gaps either side of 8 hours, oxygen, extubations, errors and missing values."""
    charted, procedures = [], []
    for row in stays.itertuples():
        if RNG.random() < 0.15:
            continue
        moment = pd.Timestamp(row.INTIME).floor("min") + pd.Timedelta(minutes=RNG.randint(0, 600))
        days = RNG.choice([0.2, 1.7, 1.75, 2, 4, 6.7, 6.75, 6.8, 7, 9])
        end = moment + pd.Timedelta(days=days)
        first = True

        def chart(item, value, error="", stay=row.ICUSTAY_ID):
            charted.append([row.SUBJECT_ID, stay, item, moment.strftime("%Y-%m-%d %H:%M:%S"), value, error])

        while moment <= end:
            kind = 0.0 if first or moment == end else RNG.random()
            first = False
            if kind < 0.70:
                item = RNG.choice(ALL_SETTINGS + [223849, 720, 223848, 467])
                chart(item, {467: "Ventilator", 720: "Drager", 223848: "Evita 4"}.get(item, RNG.choice(["5", "NA", "12.5"])))
                if RNG.random() < 0.2:
                    chart(*RNG.choice([(467, "Cannula"), (226732, "Endotracheal tube"), (640, "Extubated"), (470, "2")]))
            elif kind < 0.76:
                item = RNG.choice([467, 226732])
                chart(item, RNG.choice(OXYGEN_467 if item == 467 else OXYGEN_226732))
            elif kind < 0.80:
                chart(640, RNG.choice(["Extubated", "Self Extubation", "Not Extubated"]))
                if RNG.random() < 0.4:
                    chart(467, "Face Tent")
            elif kind < 0.85:
                procedures.append([row.SUBJECT_ID, row.ICUSTAY_ID, moment.strftime("%Y-%m-%d %H:%M:%S"), RNG.choice(EXTUBATIONS)])
                if RNG.random() < 0.5:
                    chart(RNG.choice([445, 467]), "Ventilator")
            elif kind < 0.88:
                procedures.append([row.SUBJECT_ID, row.ICUSTAY_ID, moment.strftime("%Y-%m-%d %H:%M:%S"), 224263])
            else:  # rows that say nothing
                choice = RNG.choice(["null", "error", "other", "stay", "device", "unrelated"])
                if choice == "null":
                    chart(445, "")
                elif choice == "error":
                    chart(640, "Extubated", "1")
                elif choice == "other":
                    chart(*RNG.choice([(720, "Other/Remarks"), (223848, "Other"), (467, "None"), (226732, "None")]))
                elif choice == "stay":
                    chart(445, "8", stay="")
                elif choice == "device":
                    chart(467, "nasal cannula", RNG.choice(["", "0"]))
                else:
                    chart(211, "88", "0")
            step = RNG.choice([0, 60, 240, 240, 360, 420, 480, 480, 481, 600])
            following = moment + pd.Timedelta(minutes=step)
            moment = end if moment < end < following else following
    columns = ["SUBJECT_ID", "ICUSTAY_ID", "ITEMID", "CHARTTIME", "VALUE", "ERROR"]
    RNG.shuffle(charted)
    charted = pd.DataFrame(charted, columns=columns)
    charted.insert(0, "ROW_ID", range(len(charted)))
    procedures = pd.DataFrame(procedures, columns=["SUBJECT_ID", "ICUSTAY_ID", "STARTTIME", "ITEMID"])
    procedures.insert(0, "ROW_ID", range(len(procedures)))
    return charted, procedures


def ventilation(charted, procedures):
    """The two queries of the MIMIC Code Repository as operations on frames: flags, lags, running sums, groups.

    Rows of both tables at one moment of one stay are one row here, as there rows of equal time have no order.
    """
    chart = charted[(charted.VALUE != "") & (charted.ERROR != "1") & (charted.ICUSTAY_ID != "")].copy()
    item, value = chart.ITEMID, chart.VALUE
    chart["vent"] = (
        item.isin(ALL_SETTINGS)
        | (item == 223849)
        | ((item == 720) & (value != "Other/Remarks"))
        | ((item == 223848) & (value != "Other"))
        | ((item == 467) & (value == "Ventilator"))
    )
    chart["oxygen"] = ((item == 467) & value.isin(OXYGEN_467)) | ((item == 226732) & value.isin(OXYGEN_226732))
    chart["extubated"] = (item == 640) & value.isin(["Extubated", "Self Extubation"])
    chart = chart.rename(columns={"ICUSTAY_ID": "stay", "CHARTTIME": "time"})
    taken_off = procedures[procedures.ITEMID.isin(EXTUBATIONS)]
    taken_off = taken_off.rename(columns={"ICUSTAY_ID": "stay", "STARTTIME": "time"}).assign(
        vent=False, oxygen=False, extubated=True
    )
    columns = ["stay", "time", "vent", "oxygen", "extubated"]
    rows = pd.concat([chart[columns], taken_off[columns]])
    rows["time"] = pd.to_datetime(rows.time)
    rows = rows.groupby(["stay", "time"], as_index=False).max().sort_values(["stay", "time"]).reset_index(drop=True)
    rows["in_event"] = rows.vent | rows.extubated
    rows["last_vent"] = rows[rows.vent].groupby("stay")["time"].shift()
    rows["off_before"] = rows.groupby(["stay", "in_event"])["extubated"].shift().fillna(False)
    new = rows.off_before | (~rows.vent & rows.oxygen) | (rows.vent & (rows.time - rows.last_vent > pd.Timedelta(hours=8)))
    rows["number"] = new.astype(int).groupby(rows.stay).cumsum()
    events = rows[rows.in_event].groupby(["stay", "number"]).agg(
        start=("time", "min"), end=("time", "max"), vent=("vent", "max")
    )
    events = events[(events.start != events.end) & events.vent].reset_index()
    return events[["stay", "start", "end"]]


def make_bedside(stays, durations):
    """Notes around the first start of each stay, on and off the edges of the 48 hours."""
    rows = []
    starts = durations.groupby("stay").start.min()
    for row in stays.itertuples():
        if row.ICUSTAY_ID not in starts.index:
            continue
        offset = RNG.choice([0, 0, 3600, 48 * 3600, 48 * 3600, 48 * 3600 + 1, -1, 20 * 3600])
        category = RNG.choice(["Nursing", "Nursing/other", "Respiratory ", "Nursing", "Physician ", "nursing"])
        moment = starts[row.ICUSTAY_ID] + pd.Timedelta(seconds=offset)
        time = RNG.choice([moment.strftime("%Y-%m-%d %H:%M:%S")] * 9 + [""])
        rows.append([row.SUBJECT_ID, row.HADM_ID, moment.strftime("%Y-%m-%d"), time, category, "Report", "Remains intubated."])
    return rows


def pmv(folder, durations):
    """HADM_ID and label of the cohort."""
    read = lambda name, **options: pd.read_csv(folder / f"{name}.csv", **options)
    stays = read("ICUSTAYS").merge(read("ADMISSIONS")[["HADM_ID", "ADMITTIME"]], on="HADM_ID")
    stays = stays.merge(read("PATIENTS")[["SUBJECT_ID", "DOB"]], on="SUBJECT_ID")
    age = [
        (pd.Timestamp(a).to_pydatetime().date() - pd.Timestamp(b).to_pydatetime().date()).days / 365.242
        for a, b in zip(stays.ADMITTIME, stays.DOB)
    ]
    stays = stays[np.array(age) >= 18]
    codes = read("DIAGNOSES_ICD", dtype=str)
    codes["HADM_ID"] = codes.HADM_ID.astype(int)
    titles = read("D_ICD_DIAGNOSES", dtype=str).set_index("ICD9_CODE").LONG_TITLE
    excluded = codes.ICD9_CODE.str.match(r"14\d|941|948[3-9]|(?:3589|3590|3591|35801)$", na=False)
    excluded |= codes.ICD9_CODE.map(titles).str.contains("donor", na=False)
    stays = stays[~stays.HADM_ID.isin(codes[excluded].HADM_ID)]
    spans = durations.groupby("stay").agg(first=("start", "min"), last=("end", "max"))
    stays = stays.merge(spans, left_on="ICUSTAY_ID", right_index=True)
    days = (stays["last"] - stays["first"]) / pd.Timedelta(days=1) + 0.25
    longest = set(stays[days >= 7].HADM_ID)
    stays = stays[days >= 2].sort_values("INTIME", kind="stable").drop_duplicates("HADM_ID", keep="first")
    notes = read("NOTEEVENTS")
    notes = notes[notes.CATEGORY.str.strip().isin(["Nursing", "Nursing/other", "Respiratory"])].dropna(subset=["HADM_ID"])
    notes = notes.merge(stays[["HADM_ID", "first"]], on="HADM_ID")
    after = pd.to_datetime(notes.CHARTTIME) - notes["first"]
    noted = set(notes[(after >= pd.Timedelta(0)) & (after <= pd.Timedelta(hours=48))].HADM_ID)
    kept = [hadm for hadm in stays.HADM_ID if hadm in noted]
    return pd.DataFrame({"label": [str(int(hadm in longest)) for hadm in kept]}, index=pd.Index(kept, name="HADM_ID"))


def tenth(number):
    """The split 80/10/10 by the hash of a number."""
    place = int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:8], "big") % 100
    return "train" if place < 80 else "valid" if place < 90 else "test"


def write_expected(task, frame, split_of):
    for split in ("train", "valid", "test"):
        part = frame[frame.index.map(lambda hadm: split_of.get(hadm) == split)].sort_index()
        part = part.reset_index().rename(columns={"HADM_ID": "id"})[["id", "text", "label"]]
        part.to_csv(HERE / "expected" / f"{task}-{split}.csv", index=False, quoting=csv.QUOTE_ALL, lineterminator="\n")


def main():
    for folder in ("mimic3", "splits", "expected"):
        (HERE / folder).mkdir(exist_ok=True)
        for old in (HERE / folder).iterdir():
            old.unlink()
    folder = HERE / "mimic3"
    admissions = make_admissions()
    births = make_births(admissions)
    stays = make_stays(admissions)
    charted, procedures = make_events(stays)
    durations = ventilation(charted, procedures)
    notes = make_notes(admissions, make_bedside(stays, durations))
    write(births, "mimic3/PATIENTS.csv")
    write(stays, "mimic3/ICUSTAYS.csv")
    write(charted, "mimic3/CHARTEVENTS.csv")
    write(procedures, "mimic3/PROCEDUREEVENTS_MV.csv")
    durations.to_csv(HERE / "expected" / "ventilation.csv", index=False, lineterminator="\n")
    write(admissions[admissions.name != "never in ADMISSIONS"], "mimic3/ADMISSIONS.csv")
    order = ["TEXT", "CATEGORY", "ROW_ID", "HADM_ID", "SUBJECT_ID", "ISERROR", "CHARTTIME", "CHARTDATE", "DESCRIPTION"]
    write(notes, "mimic3/NOTEEVENTS.csv", order, quoting=csv.QUOTE_ALL)
    write(make_codes(admissions, 4 * DIAGNOSES[:14] + DIAGNOSES, 6), "mimic3/DIAGNOSES_ICD.csv")
    write(make_codes(admissions, PROCEDURES, 4), "mimic3/PROCEDURES_ICD.csv")
    write(code_table(DIAGNOSES), "mimic3/D_ICD_DIAGNOSES.csv")
    write(code_table(PROCEDURES), "mimic3/D_ICD_PROCEDURES.csv")

    # One row an admission, as in CORe's lists; the patients of every ninth are on none.
    subjects = sorted(admissions.SUBJECT_ID.unique())
    split_of_subject = {s: ("train", "val", "test", "train", "train", "test", "train", "train", None)[i % 9] for i, s in enumerate(subjects)}
    for split in ("train", "val", "test"):
        listed = admissions[admissions.SUBJECT_ID.map(split_of_subject) == split][["SUBJECT_ID"]]
        listed.to_csv(HERE / "splits" / f"mimic_{split}.csv", index=False, lineterminator="\n")

    found = core_notes(folder)
    table = pd.read_csv(folder / "ADMISSIONS.csv").set_index("HADM_ID")
    table = table[["ADMITTIME", "DISCHTIME", "HOSPITAL_EXPIRE_FLAG"]]
    renamed = {"train": "train", "val": "valid", "test": "test"}
    split_of = {hadm: renamed.get(split_of_subject[subject]) for hadm, subject in found.SUBJECT_ID.items()}
    write_expected("los", los(found, table), split_of)
    write_expected("mor", mor(found, table), split_of)
    cohort = pmv(folder, durations)
    mor_notes = mor(found, table)
    mor_notes = mor_notes[mor_notes.index.map(lambda hadm: split_of.get(hadm) is not None)]
    joined = mor_notes[["text"]].join(cohort, how="inner")
    write_expected("pmv", joined, {hadm: tenth(hadm) for hadm in joined.index})
    for task, name, whole_numbers in (("diag", "DIAGNOSES_ICD.csv", False), ("proc", "PROCEDURES_ICD.csv", True)):
        labels, vocabulary = short_codes(folder, name, whole_numbers)
        write_expected(task, coded(found, labels), split_of)
        (HERE / "expected" / f"{task}-labels.txt").write_text("\n".join(vocabulary) + "\n")
    for path in sorted(HERE.rglob("*.csv")):
        assert path.stat().st_size < 200_000, f"{path} is too large to commit"
    print(f"{len(admissions)} admissions, {len(notes)} notes, {len(found)} admission notes, {len(cohort)} ventilated, {len(joined)} with a note")


if __name__ == "__main__":
    main()
