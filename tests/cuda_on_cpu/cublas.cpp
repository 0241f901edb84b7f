// libcublas.so.13: the few functions that CuPy's products call, by their definition. Matrices are
// stored column after column. float16 and float32 are summed in float32, float64 in float64.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>
#include <immintrin.h>
#include "events.h"

enum Type { FLOAT = 0, DOUBLE = 1, HALF = 2 };  // as cudaDataType numbers them
enum Compute { COMPUTE_16F = 64, COMPUTE_16F_PEDANTIC, COMPUTE_64F = 70, COMPUTE_64F_PEDANTIC };

static void product(const char* name) {
  cpu_launches++;
  event(name);
}

static long size(int type) { return type == FLOAT ? 4 : type == DOUBLE ? 8 : 2; }
static double load(const void* p, long i, int type) {
  if (type == FLOAT) return ((const float*)p)[i];
  if (type == DOUBLE) return ((const double*)p)[i];
  return _cvtsh_ss(((const uint16_t*)p)[i]);
}
static void store(void* p, long i, int type, double v) {
  if (type == FLOAT) ((float*)p)[i] = (float)v;
  else if (type == DOUBLE) ((double*)p)[i] = v;
  else ((uint16_t*)p)[i] = _cvtss_sh((float)v, _MM_FROUND_TO_NEAREST_INT);
}
static double scalar(const void* p, int compute) {
  bool half = compute == COMPUTE_16F || compute == COMPUTE_16F_PEDANTIC;
  bool wide = compute == COMPUTE_64F || compute == COMPUTE_64F_PEDANTIC || compute == DOUBLE;
  return load(p, 0, half ? HALF : wide ? DOUBLE : FLOAT);
}

struct Matrix { const void* data; int type, leading, transposed; };

// A matrix's elements, column after column, or row after row.
template <class F>
static std::vector<F> elements(const Matrix& a, long rows, long columns, bool by_row) {
  std::vector<F> all(rows * columns);
  for (long i = 0; i < rows; i++)
    for (long j = 0; j < columns; j++)
      all[by_row ? i * columns + j : i + j * rows] =
          load(a.data, a.transposed ? j + i * a.leading : i + j * a.leading, a.type);
  return all;
}

template <class F>
static int multiply_in(int m, int n, int k, double alpha, Matrix a, Matrix b, double beta, void* c,
                       int type, int leading) {
  std::vector<F> rows = elements<F>(a, m, k, true), columns = elements<F>(b, k, n, false);
  for (long j = 0; j < n; j++)
    for (long i = 0; i < m; i++) {
      const F *x = rows.data() + i * k, *y = columns.data() + j * k;
      F sum = 0;
      for (long l = 0; l < k; l++) sum += x[l] * y[l];
      double v = alpha * sum;
      if (beta != 0) v += beta * load(c, i + j * leading, type);
      store(c, i + j * leading, type, v);
    }
  return 0;
}

// c = alpha a b + beta c, where a is (m, k) and b is (k, n)
static int multiply(int m, int n, int k, double alpha, Matrix a, Matrix b, double beta, void* c,
                    int type, int leading) {
  auto in = a.type == DOUBLE ? multiply_in<double> : multiply_in<float>;
  return in(m, n, k, alpha, a, b, beta, c, type, leading);
}

// c = alpha a + beta b
template <class F>
static int add(int ta, int tb, int m, int n, const F* alpha, const F* a, int lda, const F* beta,
               const F* b, int ldb, F* c, int ldc) {
  product("cublas geam");
  std::vector<F> sums((size_t)m * n);  // c may be a or b
  for (long j = 0; j < n; j++)
    for (long i = 0; i < m; i++) {
      F second = *beta != 0 ? *beta * b[tb ? j + i * ldb : i + j * ldb] : 0;
      sums[i + j * m] = *alpha * a[ta ? j + i * lda : i + j * lda] + second;
    }
  for (long j = 0; j < n; j++)
    for (long i = 0; i < m; i++) c[i + j * ldc] = sums[i + j * m];
  return 0;
}

// y = alpha a x + beta y
template <class F>
static int apply(int transposed, int m, int n, const F* alpha, const F* a, int lda, const F* x,
                 int stepx, const F* beta, F* y, int stepy) {
  product("cublas gemv");
  for (long i = 0; i < (transposed ? n : m); i++) {
    double sum = 0;
    for (long k = 0; k < (transposed ? m : n); k++)
      sum += (double)a[transposed ? k + i * lda : i + k * lda] * x[k * stepx];
    y[i * stepy] = *alpha * sum + (*beta != 0 ? *beta * y[i * stepy] : 0);
  }
  return 0;
}

static int pointer_mode = 0, math_mode = 0;

template <class F>
static int dot(int n, const F* x, int stepx, const F* y, int stepy, F* result) {
  product("cublas dot");
  double sum = 0;
  for (long i = 0; i < n; i++) sum += (double)x[i * stepx] * y[i * stepy];
  *result = sum;
  if (pointer_mode == 0) cpu_waits++, cpu_copies_out++;  // the result is for the host
  return 0;
}

extern "C" {

int cublasCreate_v2(void** handle) { *handle = (void*)1; return 0; }
int cublasDestroy_v2(void*) { return 0; }
int cublasGetVersion_v2(void*, int* version) { *version = 130000; return 0; }
int cublasSetStream_v2(void*, void*) { return 0; }
int cublasGetStream_v2(void*, void** stream) { *stream = nullptr; return 0; }
int cublasSetWorkspace_v2(void*, void*, size_t) { return 0; }
int cublasSetPointerMode_v2(void*, int mode) { pointer_mode = mode; return 0; }
int cublasGetPointerMode_v2(void*, int* mode) { *mode = pointer_mode; return 0; }
int cublasSetMathMode(void*, int mode) { math_mode = mode; return 0; }
int cublasGetMathMode(void*, int* mode) { *mode = math_mode; return 0; }

int cublasSgemmEx(void*, int ta, int tb, int m, int n, int k, const float* alpha, const void* a,
                  int atype, int lda, const void* b, int btype, int ldb, const float* beta,
                  void* c, int ctype, int ldc) {
  product("cublas gemm");
  return multiply(m, n, k, *alpha, {a, atype, lda, ta}, {b, btype, ldb, tb}, *beta, c, ctype, ldc);
}
int cublasGemmStridedBatchedEx(void*, int ta, int tb, int m, int n, int k, const void* alpha,
                               const void* a, int atype, int lda, long long stepa, const void* b,
                               int btype, int ldb, long long stepb, const void* beta, void* c,
                               int ctype, int ldc, long long stepc, int count, int compute, int) {
  product("cublas gemm");
  double x = scalar(alpha, compute), y = scalar(beta, compute);
  for (long i = 0; i < count; i++)
    multiply(m, n, k, x, {(const char*)a + i * stepa * size(atype), atype, lda, ta},
             {(const char*)b + i * stepb * size(btype), btype, ldb, tb}, y,
             (char*)c + i * stepc * size(ctype), ctype, ldc);
  return 0;
}
int cublasGemmEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha,
                 const void* a, int atype, int lda, const void* b, int btype, int ldb,
                 const void* beta, void* c, int ctype, int ldc, int compute, int algorithm) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, atype, lda, 0, b, btype,
                                    ldb, 0, beta, c, ctype, ldc, 0, 1, compute, algorithm);
}

#define OF_TYPE(S, F, TYPE)                                                                       \
  int cublas##S##gemm_v2(void*, int ta, int tb, int m, int n, int k, const F* alpha, const F* a,  \
                         int lda, const F* b, int ldb, const F* beta, F* c, int ldc) {            \
    product("cublas gemm");                                                                       \
    return multiply(m, n, k, *alpha, {a, TYPE, lda, ta}, {b, TYPE, ldb, tb}, *beta, c, TYPE,      \
                    ldc);                                                                         \
  }                                                                                               \
  int cublas##S##gemmBatched(void*, int ta, int tb, int m, int n, int k, const F* alpha,          \
                             const F** a, int lda, const F** b, int ldb, const F* beta, F** c,    \
                             int ldc, int count) {                                                \
    product("cublas gemm");                                                                       \
    for (int i = 0; i < count; i++)                                                               \
      multiply(m, n, k, *alpha, {a[i], TYPE, lda, ta}, {b[i], TYPE, ldb, tb}, *beta, c[i], TYPE,  \
               ldc);                                                                              \
    return 0;                                                                                     \
  }                                                                                               \
  int cublas##S##dot_v2(void*, int n, const F* x, int stepx, const F* y, int stepy, F* result) {  \
    return dot(n, x, stepx, y, stepy, result);                                                    \
  }                                                                                               \
  int cublas##S##geam(void*, int ta, int tb, int m, int n, const F* alpha, const F* a, int lda,   \
                      const F* beta, const F* b, int ldb, F* c, int ldc) {                        \
    return add(ta, tb, m, n, alpha, a, lda, beta, b, ldb, c, ldc);                                \
  }                                                                                               \
  int cublas##S##gemv_v2(void*, int ta, int m, int n, const F* alpha, const F* a, int lda,        \
                         const F* x, int stepx, const F* beta, F* y, int stepy) {                 \
    return apply(ta, m, n, alpha, a, lda, x, stepx, beta, y, stepy);                              \
  }
OF_TYPE(S, float, FLOAT)
OF_TYPE(D, double, DOUBLE)

// What CuPy names and does not call here: it must be there, since the wheel is linked against it.
#define NOT_HERE(name)                                            \
  int cublas##name() {                                            \
    fprintf(stderr, "cuda_on_cpu: cublas" #name " is not here\n"); \
    return 15; /* CUBLAS_STATUS_NOT_SUPPORTED */                  \
  }
#define REAL(S)                                                                                 \
  NOT_HERE(S##asum_v2) NOT_HERE(S##axpy_v2) NOT_HERE(S##dgmm) NOT_HERE(S##gemmStridedBatched)   \
  NOT_HERE(S##ger_v2) NOT_HERE(S##getrfBatched) NOT_HERE(S##getriBatched)                       \
  NOT_HERE(S##getrsBatched) NOT_HERE(S##nrm2_v2) NOT_HERE(S##sbmv_v2) NOT_HERE(S##scal_v2)      \
  NOT_HERE(S##syrk_v2) NOT_HERE(S##tpttr) NOT_HERE(S##trsmBatched) NOT_HERE(S##trsm_v2)         \
  NOT_HERE(S##trttp)
#define COMPLEX(C)                                                                              \
  NOT_HERE(C##axpy_v2) NOT_HERE(C##dgmm) NOT_HERE(C##dotc_v2) NOT_HERE(C##dotu_v2)              \
  NOT_HERE(C##geam) NOT_HERE(C##gemmBatched) NOT_HERE(C##gemmStridedBatched)                    \
  NOT_HERE(C##gemm_v2) NOT_HERE(C##gemv_v2) NOT_HERE(C##gerc_v2) NOT_HERE(C##geru_v2)           \
  NOT_HERE(C##getrfBatched) NOT_HERE(C##getriBatched) NOT_HERE(C##getrsBatched)                 \
  NOT_HERE(C##scal_v2) NOT_HERE(C##syrk_v2) NOT_HERE(C##trsmBatched) NOT_HERE(C##trsm_v2)
REAL(S) REAL(D) COMPLEX(C) COMPLEX(Z)
NOT_HERE(Scasum_v2) NOT_HERE(Dzasum_v2) NOT_HERE(Scnrm2_v2) NOT_HERE(Dznrm2_v2)
NOT_HERE(Csscal_v2) NOT_HERE(Zdscal_v2)
NOT_HERE(Isamax_v2) NOT_HERE(Idamax_v2) NOT_HERE(Icamax_v2) NOT_HERE(Izamax_v2)
NOT_HERE(Isamin_v2) NOT_HERE(Idamin_v2) NOT_HERE(Icamin_v2) NOT_HERE(Izamin_v2)

}  // extern "C"
