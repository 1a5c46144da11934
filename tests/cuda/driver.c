// Stands where NVIDIA's driver would, on machines without a GPU: its memory is the host's, kernels are loaded and never run,
// and the clock goes by launches. A program then does all that is done on the host, and NVIDIA's compiler, which is the real
// one, sees every kernel. Numbers that a kernel would have computed are whatever the memory held: noughts.
//
// A launch that a Hopper would refuse is refused. STAND_IN_REPORT=FILE has kernels and launches written there at the end.
#define _GNU_SOURCE
#include <cuda.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, MOST_SHARED = 232448, MOST_THREADS = 1024, MOST_GRID = 65535 };
static const size_t TOTAL = (size_t)141 << 30;
static const CUcontext CONTEXT = (CUcontext)16;

static _Atomic long modules, launches, waited;
static _Atomic size_t allocated;

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("STAND_IN_REPORT");
  FILE *file = path && launches ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%ld kernels compiled, %ld launches\n", modules, launches);
  fclose(file);
}

CUresult cuInit(unsigned flags) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *version) { *version = 13000; return CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult error, const char **name) {
  *name = error == CUDA_ERROR_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_INVALID_VALUE";
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char **text) { return cuGetErrorName(error, text); }
// NVIDIA's compiler looks for a table of the driver's, and does without.
CUresult cuGetExportTable(const void **table, const CUuuid *id) { *table = NULL; return CUDA_ERROR_NOT_FOUND; }

// The device: an H200.
CUresult cuDeviceGetCount(int *count) { *count = 1; return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int i) { *device = i; return i == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE; }
CUresult cuDeviceGetName(char *name, int size, CUdevice device) {
  snprintf(name, size, "NVIDIA H200");
  return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) { *bytes = TOTAL; return CUDA_SUCCESS; }
CUresult cuMemGetInfo_v2(size_t *bytes_free, size_t *total) {
  *bytes_free = TOTAL - allocated, *total = TOTAL;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetPCIBusId(char *id, int size, CUdevice device) {
  snprintf(id, size, "0000:01:00.0");
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetUuid_v2(CUuuid *id, CUdevice device) { memset(id, 7, sizeof *id); return CUDA_SUCCESS; }
CUresult cuDeviceCanAccessPeer(int *can, CUdevice a, CUdevice b) { *can = 0; return CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = MOST_SHARED; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 49152; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = 233472; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = MOST_THREADS; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = INT32_MAX; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = MOST_GRID; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT: *value = 512; break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *value = 50 << 20; break;
    default: *value = 1; // whether something is supported
  }
  return CUDA_SUCCESS;
}

// One context.
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) { *context = CONTEXT; return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) { return CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext *context) { *context = CONTEXT; return CUDA_SUCCESS; }
CUresult cuCtxGetDevice(CUdevice *device) { *device = 0; return CUDA_SUCCESS; }
CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  *least = 0, *greatest = -5;
  return CUDA_SUCCESS;
}
CUresult cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr pointer) {
  if (attribute != CU_POINTER_ATTRIBUTE_CONTEXT) return CUDA_ERROR_INVALID_VALUE;
  *(CUcontext *)value = CONTEXT;
  return CUDA_SUCCESS;
}

// Work is done when it is asked for, so streams and events order nothing. Waiting takes time once after each launch, or whoever
// measures would ask for ever more; between events a launch has taken 25 ms.
static CUresult wait_for_launches(void) {
  if (waited != launches) {
    waited = launches;
    usleep(21000);
  }
  return CUDA_SUCCESS;
}
CUresult cuStreamCreate(CUstream *stream, unsigned flags) { *stream = malloc(1); return CUDA_SUCCESS; }
CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
  return cuStreamCreate(stream, flags);
}
CUresult cuStreamDestroy_v2(CUstream stream) { free(stream); return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream stream) { return wait_for_launches(); }
CUresult cuCtxSynchronize(void) { return wait_for_launches(); }
CUresult cuStreamQuery(CUstream stream) { return CUDA_SUCCESS; }
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) { return CUDA_SUCCESS; }
CUresult cuCtxRecordEvent(CUcontext context, CUevent event) { return CUDA_SUCCESS; }
CUresult cuCtxWaitEvent(CUcontext context, CUevent event) { return CUDA_SUCCESS; }
CUresult cuEventCreate(CUevent *event, unsigned flags) { *event = calloc(1, sizeof(long)); return CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent event, CUstream stream) { *(long *)event = launches; return CUDA_SUCCESS; }
CUresult cuEventSynchronize(CUevent event) { return wait_for_launches(); }
CUresult cuEventQuery(CUevent event) { return CUDA_SUCCESS; }
CUresult cuEventDestroy_v2(CUevent event) { free(event); return CUDA_SUCCESS; }
CUresult cuEventElapsedTime_v2(float *ms, CUevent begin, CUevent end) {
  *ms = 25.0f * (*(long *)end - *(long *)begin);
  return CUDA_SUCCESS;
}

// Memory, each piece behind a page that knows its size.
static void *take(size_t bytes) {
  int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  char *page = mmap(NULL, bytes + PAGE, PROT_READ | PROT_WRITE, kind, -1, 0);
  if (page == MAP_FAILED) return NULL;
  *(size_t *)page = bytes;
  return page + PAGE;
}
static size_t give(void *memory) {
  char *page = (char *)memory - PAGE;
  size_t bytes = *(size_t *)page;
  munmap(page, bytes + PAGE);
  return bytes;
}
CUresult cuMemAlloc_v2(CUdeviceptr *memory, size_t bytes) {
  *memory = allocated + bytes > TOTAL ? 0 : (CUdeviceptr)take(bytes);
  if (!*memory) return CUDA_ERROR_OUT_OF_MEMORY;
  allocated += bytes;
  return CUDA_SUCCESS;
}
CUresult cuMemAllocAsync(CUdeviceptr *memory, size_t bytes, CUstream stream) { return cuMemAlloc_v2(memory, bytes); }
CUresult cuMemFree_v2(CUdeviceptr memory) {
  if (memory) allocated -= give((void *)memory);
  return CUDA_SUCCESS;
}
CUresult cuMemFreeAsync(CUdeviceptr memory, CUstream stream) { return cuMemFree_v2(memory); }
CUresult cuMemAllocHost_v2(void **memory, size_t bytes) {
  *memory = take(bytes);
  return *memory ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemFreeHost(void *memory) {
  if (memory) give(memory);
  return CUDA_SUCCESS;
}
static CUresult copy(void *to, const void *from, size_t bytes) { memmove(to, from, bytes); return CUDA_SUCCESS; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  return copy((void *)to, from, bytes);
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy(to, (void *)from, bytes);
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy((void *)to, (void *)from, bytes);
}
CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *what, CUstream stream) {
  char *to = what->dstMemoryType == CU_MEMORYTYPE_HOST ? what->dstHost : (char *)what->dstDevice;
  const char *from = what->srcMemoryType == CU_MEMORYTYPE_HOST ? what->srcHost : (const char *)what->srcDevice;
  for (size_t row = 0; row < what->Height; row++)
    memcpy(to + (what->dstY + row) * what->dstPitch + what->dstXInBytes,
           from + (what->srcY + row) * what->srcPitch + what->srcXInBytes, what->WidthInBytes);
  return CUDA_SUCCESS;
}

// Kernels.
CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  if (!strstr(image, ".target sm_90a")) return CUDA_ERROR_INVALID_VALUE;
  modules++;
  *module = (CUmodule)32;
  return CUDA_SUCCESS;
}
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  *function = (CUfunction)48;
  return CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  return value <= MOST_SHARED ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned x, unsigned y,
                        unsigned z, unsigned shared, CUstream stream, void **arguments, void **extra) {
  launches++;
  int is_empty = !grid_x || !grid_y || !grid_z || !x || !y || !z;
  int is_large = grid_y > MOST_GRID || grid_z > MOST_GRID || (size_t)x * y * z > MOST_THREADS || shared > MOST_SHARED;
  return is_empty || is_large ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *memory,
                                const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
                                const cuuint32_t *element_strides, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                CUtensorMapFloatOOBfill fill) {
  return CUDA_SUCCESS;
}
