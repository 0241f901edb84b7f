// libcuda.so.1: a driver whose kernels are functions of shared objects that g++ made.
// An image is no machine code but a path: "ftz:/…/kernel.so", or "std:…", which keeps subnormals.
#include <cuda.h>
#include <dlfcn.h>
#include <pmmintrin.h>
#include <xmmintrin.h>
#include <cstdio>
#include <cstring>
#include <string>
#include "events.h"

extern "C" {

unsigned long cpu_launches, cpu_copies_in, cpu_copies_out, cpu_copies_within, cpu_waits;
int cpu_devices = 1, cpu_current_device;
void (*cpu_heard)(const char*);

typedef void (*Launch)(void** arguments, const unsigned* grid, const unsigned* block, size_t);
struct Module { void* handle; bool flushes; };
struct Function { Launch launch; std::string name; bool flushes; };

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int* version) { *version = 13020; return CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult error, const char** name) {
  *name = error ? "CUDA_ERROR_OF_THE_STAND_IN" : "CUDA_SUCCESS";
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error ? "an error of the stand-in; stderr says more" : "no error";
  return CUDA_SUCCESS;
}

static int contexts[16];  // one for each device; only their addresses count
CUresult cuCtxGetCurrent(CUcontext* context) {
  *context = (CUcontext)&contexts[cpu_current_device];
  return CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(CUcontext context) {
  cpu_current_device = (int*)context - contexts;
  return CUDA_SUCCESS;
}
CUresult cuCtxGetDevice(CUdevice* device) { *device = cpu_current_device; return CUDA_SUCCESS; }
CUresult cuStreamGetCtx(CUstream, CUcontext* context) { return cuCtxGetCurrent(context); }

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  const char* text = (const char*)image;
  void* handle = dlopen(text + 4, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    fprintf(stderr, "cuda_on_cpu: %s\n", dlerror());
    return CUDA_ERROR_INVALID_IMAGE;
  }
  *module = (CUmodule) new Module{handle, !strncmp(text, "ftz", 3)};
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  Module* from = (Module*)module;
  void* launch = dlsym(from->handle, (std::string("launch_") + name).c_str());
  if (!launch) {
    fprintf(stderr, "cuda_on_cpu: there is no kernel %s\n", name);
    return CUDA_ERROR_NOT_FOUND;
  }
  *function = (CUfunction) new Function{(Launch)launch, name, from->flushes};
  return CUDA_SUCCESS;
}
CUresult cuModuleGetGlobal_v2(CUdeviceptr* place, size_t*, CUmodule module, const char* name) {
  *place = (CUdeviceptr)dlsym(((Module*)module)->handle, name);
  return *place ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                        unsigned by, unsigned bz, unsigned shared, CUstream, void** arguments,
                        void**) {
  Function* kernel = (Function*)function;
  cpu_launches++;
  event(kernel->name.c_str());
  unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz}, threads = bx * by * bz;
  if (!gx || !gy || !gz || !threads || threads > 1024 || shared > 227 * 1024 || gy > 65535
      || gz > 65535) {
    fprintf(stderr, "cuda_on_cpu: invalid launch of %s <<<(%u,%u,%u),(%u,%u,%u),%u>>>\n",
            kernel->name.c_str(), gx, gy, gz, bx, by, bz, shared);
    return CUDA_ERROR_INVALID_VALUE;
  }
  unsigned state = _mm_getcsr();
  if (kernel->flushes) _mm_setcsr(state | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
  kernel->launch(arguments, grid, block, shared);
  _mm_setcsr(state & ~_MM_EXCEPT_MASK);
  return CUDA_SUCCESS;
}
CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz,
                                   unsigned bx, unsigned by, unsigned bz, unsigned shared,
                                   CUstream stream, void** arguments) {
  return cuLaunchKernel(function, gx, gy, gz, bx, by, bz, shared, stream, arguments, nullptr);
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction) {
  *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 32;
  return CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute, int) { return CUDA_SUCCESS; }
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int, size_t) {
  *blocks = 4;
  return CUDA_SUCCESS;
}
CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction, CUoccupancyB2DSize,
                                          size_t, int) {
  *grid = 132;
  *block = 256;
  return CUDA_SUCCESS;
}

}  // extern "C"
