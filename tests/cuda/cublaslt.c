// Stands where cuBLASLt would, over the memory of the driver's stand-in, which is the host's: it does multiply, as its
// documentation says, columns first, and refuses layouts that do not fit each other.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_VALUE = 7, R_32F = 0, R_16BF = 14, TRANSPOSE_A = 3 };

typedef struct { int type; uint64_t rows, columns; int64_t stride; } Layout;
typedef struct { int transposes_a; } Description;
typedef struct { uint64_t algorithm[8]; size_t workspace; int status; float waves; int reserved[4]; } Heuristic;

int cublasLtCreate(void **handle) { *handle = malloc(1); return OK; }
int cublasLtDestroy(void *handle) { free(handle); return OK; }

int cublasLtMatmulDescCreate(Description **description, int compute, int scale) {
  *description = calloc(1, sizeof **description);
  return OK;
}
int cublasLtMatmulDescSetAttribute(Description *description, int attribute, const void *value, size_t bytes) {
  if (attribute != TRANSPOSE_A || bytes != sizeof(int32_t)) return INVALID_VALUE;
  description->transposes_a = *(const int32_t *)value;
  return OK;
}
int cublasLtMatrixLayoutCreate(Layout **layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  if (stride < (int64_t)rows || (type != R_32F && type != R_16BF)) return INVALID_VALUE;
  *layout = malloc(sizeof **layout);
  **layout = (Layout){type, rows, columns, stride};
  return OK;
}
int cublasLtMatmulPreferenceCreate(void **preference) { *preference = malloc(1); return OK; }
int cublasLtMatmulPreferenceDestroy(void *preference) { free(preference); return OK; }
int cublasLtMatmulPreferenceSetAttribute(void *preference, int attribute, const void *value, size_t bytes) {
  return bytes == sizeof(uint64_t) ? OK : INVALID_VALUE;
}

static int fit(const Description *description, const Layout *a, const Layout *b, const Layout *d) {
  uint64_t rows = description->transposes_a ? a->columns : a->rows, depth = description->transposes_a ? a->rows : a->columns;
  return a->type == b->type && b->type == d->type && rows == d->rows && b->columns == d->columns && depth == b->rows;
}
int cublasLtMatmulAlgoGetHeuristic(void *handle, Description *description, Layout *a, Layout *b, Layout *c, Layout *d,
                                   void *preference, int wanted, Heuristic *found, int *count) {
  if (wanted < 1 || !fit(description, a, b, d)) return INVALID_VALUE;
  memset(found, 0, sizeof *found);
  *count = 1;
  return OK;
}

static float number(const void *memory, int type, size_t at) {
  if (type == R_32F) return ((const float *)memory)[at];
  uint32_t bits = (uint32_t)((const uint16_t *)memory)[at] << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
static void put(void *memory, int type, size_t at, float value) {
  if (type == R_32F) {
    ((float *)memory)[at] = value;
    return;
  }
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  ((uint16_t *)memory)[at] = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}
int cublasLtMatmul(void *handle, Description *description, const float *alpha, const void *a, Layout *la, const void *b,
                   Layout *lb, const float *beta, const void *c, Layout *lc, void *d, Layout *ld, const uint64_t *algorithm,
                   void *workspace, size_t bytes, void *stream) {
  if (!fit(description, la, lb, ld) || *beta != 0) return INVALID_VALUE;
  for (uint64_t column = 0; column < ld->columns; column++)
    for (uint64_t row = 0; row < ld->rows; row++) {
      double sum = 0;
      for (uint64_t k = 0; k < lb->rows; k++) {
        size_t at = description->transposes_a ? row * la->stride + k : k * la->stride + row;
        sum += (double)number(a, la->type, at) * number(b, lb->type, column * lb->stride + k);
      }
      put(d, ld->type, column * ld->stride + row, (float)(*alpha * sum));
    }
  return OK;
}
