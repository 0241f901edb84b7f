// The CUDA runtime: device memory is the computer's. runtime.py writes jumps to cpu_cuda… over the
// entry points cuda… that CuPy has linked in. Each allocation remembers its device.
#include <cuda_runtime_api.h>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include "events.h"

#define OURS(name) extern "C" cudaError_t cpu_##name

extern "C" int cpu_current_device;
struct Allocation { size_t size; int device; };
static std::map<const char*, Allocation> allocations;
static std::mutex guard;

extern "C" const char* cpu_cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorInvalidDevice ? "cudaErrorInvalidDevice"
         : error ? "cudaErrorOfTheStandIn" : "cudaSuccess";
}
extern "C" const char* cpu_cudaGetErrorString(cudaError_t error) {
  return error ? "an error of the stand-in" : "no error";
}
OURS(cudaGetLastError)() { return cudaSuccess; }
OURS(cudaDriverGetVersion)(int* version) { *version = 13020; return cudaSuccess; }
OURS(cudaRuntimeGetVersion)(int* version) { *version = 13020; return cudaSuccess; }

// -- devices --------------------------------------------------------------------------------------

OURS(cudaGetDevice)(int* device) { *device = cpu_current_device; return cudaSuccess; }
OURS(cudaSetDevice)(int device) {
  if (device < 0 || device >= cpu_devices) return cudaErrorInvalidDevice;
  cpu_current_device = device;
  return cudaSuccess;
}
OURS(cudaGetDeviceCount)(int* count) { *count = cpu_devices; return cudaSuccess; }
OURS(cudaDeviceCanAccessPeer)(int* can, int, int) { *can = 0; return cudaSuccess; }
OURS(cudaDeviceGetAttribute)(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMultiProcessorCount: *value = 132; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 49152; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 232448; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    case cudaDevAttrMaxGridDimX: *value = 2147483647; break;
    case cudaDevAttrMaxGridDimY: case cudaDevAttrMaxGridDimZ: *value = 65535; break;
    default: *value = 0;
  }
  return cudaSuccess;
}
OURS(cudaGetDeviceProperties)(cudaDeviceProp* found, int device) {
  if (device < 0 || device >= cpu_devices) return cudaErrorInvalidDevice;
  memset(found, 0, sizeof *found);
  strcpy(found->name, "the CPU as a GPU");
  found->major = 9;
  found->multiProcessorCount = 132;
  found->totalGlobalMem = 1UL << 34;
  found->warpSize = 32;
  found->maxThreadsPerBlock = 1024;
  found->sharedMemPerBlock = 49152;
  return cudaSuccess;
}

// -- memory: full of NaN, whatever the dtype -----------------------------------------------------------

OURS(cudaMalloc)(void** place, size_t size) {
  *place = aligned_alloc(512, (size + 1023) / 512 * 512);
  memset(*place, 0xff, size);
  std::lock_guard<std::mutex> held(guard);
  allocations[(char*)*place] = {size, cpu_current_device};
  return cudaSuccess;
}
OURS(cudaFree)(void* place) {
  std::lock_guard<std::mutex> held(guard);
  allocations.erase((char*)place);
  free(place);
  return cudaSuccess;
}
OURS(cudaMallocAsync)(void** place, size_t n, cudaStream_t) { return cpu_cudaMalloc(place, n); }
OURS(cudaMallocManaged)(void** place, size_t n, unsigned) { return cpu_cudaMalloc(place, n); }
OURS(cudaFreeAsync)(void* place, cudaStream_t) { return cpu_cudaFree(place); }
OURS(cudaHostAlloc)(void** place, size_t size, unsigned) {
  *place = aligned_alloc(512, (size + 1023) / 512 * 512);
  return cudaSuccess;
}
OURS(cudaFreeHost)(void* place) { free(place); return cudaSuccess; }
OURS(cudaMemGetInfo)(size_t* left, size_t* whole) {
  *left = 12UL << 30;
  *whole = 16UL << 30;
  return cudaSuccess;
}
OURS(cudaPointerGetAttributes)(cudaPointerAttributes* found, const void* place) {
  std::lock_guard<std::mutex> held(guard);
  auto after = allocations.upper_bound((const char*)place);
  memset(found, 0, sizeof *found);
  found->type = cudaMemoryTypeDevice;
  found->device = after == allocations.begin() ? 0 : std::prev(after)->second.device;
  found->devicePointer = (void*)place;
  return cudaSuccess;
}

// -- copies, which are made at once and counted ----------------------------------------------------

static cudaError_t copy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  bool in = kind == cudaMemcpyHostToDevice, out = kind == cudaMemcpyDeviceToHost;
  (in ? cpu_copies_in : out ? cpu_copies_out : cpu_copies_within)++;
  event(in ? "copy in" : out ? "copy out" : "copy within");
  memmove(to, from, size);
  return cudaSuccess;
}
OURS(cudaMemcpy)(void* to, const void* from, size_t n, cudaMemcpyKind kind) {
  return copy(to, from, n, kind);
}
OURS(cudaMemcpyAsync)(void* to, const void* from, size_t n, cudaMemcpyKind kind, cudaStream_t) {
  return copy(to, from, n, kind);
}
OURS(cudaMemcpyPeer)(void* to, int, const void* from, int, size_t n) {
  return copy(to, from, n, cudaMemcpyDeviceToDevice);
}
OURS(cudaMemcpyPeerAsync)(void* to, int, const void* from, int, size_t n, cudaStream_t) {
  return copy(to, from, n, cudaMemcpyDeviceToDevice);
}
OURS(cudaMemset)(void* place, int value, size_t size) {
  event("memset");
  memset(place, value, size);
  return cudaSuccess;
}
OURS(cudaMemsetAsync)(void* place, int value, size_t size, cudaStream_t) {
  return cpu_cudaMemset(place, value, size);
}

// -- streams and events: everything has happened already -------------------------------------------

static cudaError_t wait() {
  cpu_waits++;
  event("wait");
  return cudaSuccess;
}
static long last_handle = 100;
template <class T> static cudaError_t handle(T* made) {
  *made = (T)++last_handle;
  return cudaSuccess;
}
OURS(cudaDeviceSynchronize)() { return wait(); }
OURS(cudaStreamSynchronize)(cudaStream_t) { return wait(); }
OURS(cudaEventSynchronize)(cudaEvent_t) { return wait(); }
OURS(cudaStreamCreate)(cudaStream_t* stream) { return handle(stream); }
OURS(cudaStreamCreateWithFlags)(cudaStream_t* stream, unsigned) { return handle(stream); }
OURS(cudaStreamDestroy)(cudaStream_t) { return cudaSuccess; }
OURS(cudaStreamQuery)(cudaStream_t) { return cudaSuccess; }
OURS(cudaStreamWaitEvent)(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
OURS(cudaStreamIsCapturing)(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
OURS(cudaEventCreate)(cudaEvent_t* made) { return handle(made); }
OURS(cudaEventCreateWithFlags)(cudaEvent_t* made, unsigned) { return handle(made); }
OURS(cudaEventDestroy)(cudaEvent_t) { return cudaSuccess; }
OURS(cudaEventRecord)(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
OURS(cudaEventQuery)(cudaEvent_t) { return cudaSuccess; }
OURS(cudaEventElapsedTime)(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return cudaSuccess;
}
