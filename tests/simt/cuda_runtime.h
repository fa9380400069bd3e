// A stand-in for CUDA's runtime header, for tests alone: it lets a host compiler build the kernels of csrc and run them,
// thread for thread, where no GPU is at hand.
//
// What it models: grids of one-dimensional blocks, 32-lane warps, shared memory, __syncthreads, shuffles and atomics. The
// threads of a block are fibers that run until they must wait. Waiting is checked: a barrier or a shuffle that some live
// thread of its block or warp never reaches, or reaches at another kind of wait, is an error (deadlock), not luck. The order
// in which fibers resume is set by SIMT_ORDER (forward, backward or a seed of a shuffle), so a missing barrier shows as a
// difference between orders. What it does not model: speed, memory spaces (all pointers are host memory), concurrent blocks.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

using cudaStream_t = struct SimtStream*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid configuration";
}

inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
};

namespace simt {

constexpr int kWarp = 32;
constexpr std::size_t kStack = 256 << 10;

enum class Wait { none, block, warp, done };

struct Fiber {
  ucontext_t start;
  jmp_buf resume;
  bool started = false;
  Wait wait = Wait::none;
  dim3 thread;
  std::unique_ptr<char[]> stack{new char[kStack]};
  unsigned char offered[2][8];  // to a shuffle; two in turn, because a lane may be at the next one before all have read
  bool turn = false;
};

// One block at a time.
class Block {
 public:
  static Block& current() {
    static Block block;
    return block;
  }

  void run(int threads, dim3 index, std::function<void()> body) {
    body_ = std::move(body);
    index_ = index;
    while (fibers_.size() < static_cast<std::size_t>(threads)) fibers_.push_back(std::make_unique<Fiber>());
    threads_ = threads;
    order_.resize(static_cast<std::size_t>(threads));
    for (int i = 0; i < threads; ++i) {
      Fiber& fiber = *fibers_[static_cast<std::size_t>(i)];
      fiber.started = false;
      fiber.turn = false;
      fiber.wait = Wait::none;
      fiber.thread = dim3(static_cast<unsigned>(i), 0, 0);
      order_[static_cast<std::size_t>(i)] = i;
    }
    while (!all(0, threads_, Wait::done)) {
      arrange();
      bool moved = false;
      for (const int i : order_) {
        Fiber& fiber = *fibers_[static_cast<std::size_t>(i)];
        if (fiber.wait != Wait::none) continue;
        moved = true;
        resume(fiber);
      }
      moved |= release();
      if (!moved) deadlock();
    }
  }

  Fiber& fiber() { return *running_; }
  dim3 index() const { return index_; }
  int threads() const { return threads_; }
  Fiber& lane(int i) { return *fibers_[running_->thread.x / kWarp * kWarp + static_cast<unsigned>(i)]; }

  void wait(Wait kind) {
    running_->wait = kind;
    if (_setjmp(running_->resume) == 0) _longjmp(scheduler_, 1);
  }

 private:
  void resume(Fiber& fiber) {
    running_ = &fiber;
    if (_setjmp(scheduler_) != 0) return;
    if (fiber.started) _longjmp(fiber.resume, 1);
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = kStack;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, &Block::enter, 0);
    setcontext(&fiber.start);
  }

  static void enter() {
    Block& block = current();
    block.body_();
    block.wait(Wait::done);
  }

  bool all(int begin, int end, Wait kind) const {
    for (int i = begin; i < end; ++i)
      if (fibers_[static_cast<std::size_t>(i)]->wait != kind) return false;
    return true;
  }

  // A barrier needs every thread of the block, finished ones too: on a GPU a thread that left would be forgiven, but none
  // of these kernels means to rely on that.
  bool release() {
    bool released = false;
    for (int begin = 0; begin < threads_; begin += kWarp) {
      const int end = std::min(begin + kWarp, threads_);
      if (!all(begin, end, Wait::warp)) continue;
      for (int i = begin; i < end; ++i) fibers_[static_cast<std::size_t>(i)]->wait = Wait::none;
      released = true;
    }
    if (!released && all(0, threads_, Wait::block)) {
      for (int i = 0; i < threads_; ++i) fibers_[static_cast<std::size_t>(i)]->wait = Wait::none;
      released = true;
    }
    return released;
  }

  void arrange() {
    const char* wanted = std::getenv("SIMT_ORDER");
    const std::string order = wanted == nullptr ? "forward" : wanted;
    if (order == "forward") return;
    if (order == "backward") {
      for (int i = 0; i < threads_; ++i) order_[static_cast<std::size_t>(i)] = threads_ - 1 - i;
      return;
    }
    if (order != seed_) random_.seed(static_cast<unsigned>(std::stoul(seed_ = order)));
    std::shuffle(order_.begin(), order_.end(), random_);
  }

  [[noreturn]] void deadlock() const {
    std::fprintf(stderr, "simt: block (%u, %u) waits for ever:", index_.x, index_.y);
    for (int i = 0; i < threads_; ++i) {
      static const char* const kNames[] = {"runs", "at a barrier", "at a shuffle", "done"};
      const Wait wait = fibers_[static_cast<std::size_t>(i)]->wait;
      if (i == 0 || wait != fibers_[static_cast<std::size_t>(i) - 1]->wait)
        std::fprintf(stderr, " from thread %d %s;", i, kNames[static_cast<int>(wait)]);
    }
    std::fprintf(stderr, "\n");
    std::abort();
  }

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<int> order_;
  std::function<void()> body_;
  std::mt19937 random_;
  std::string seed_;
  dim3 index_;
  int threads_ = 0;
  Fiber* running_ = nullptr;
  jmp_buf scheduler_;
};

}  // namespace simt

#define threadIdx (simt::Block::current().fiber().thread)
#define blockIdx (simt::Block::current().index())

inline void __syncthreads() { simt::Block::current().wait(simt::Wait::block); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  static_assert(sizeof(T) <= 8, "a lane offers 8 bytes");
  simt::Block& block = simt::Block::current();
  if (mask != 0xffffffffu) std::abort();  // whole warps alone are modelled
  simt::Fiber& fiber = block.fiber();
  const bool turn = fiber.turn = !fiber.turn;
  std::memcpy(fiber.offered[turn], &value, sizeof value);
  block.wait(simt::Wait::warp);
  T other;
  std::memcpy(&other, block.lane(static_cast<int>(fiber.thread.x % simt::kWarp) ^ lanes).offered[turn], sizeof other);
  return other;
}

template <class T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address = old + value;
  return old;
}

template <class T>
T atomicExch(T* address, T value) {
  const T old = *address;
  *address = value;
  return old;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const dim3 grid = config->gridDim, block = config->blockDim;
  if (grid.x == 0 || grid.y == 0 || grid.y > 65535 || block.x == 0 || block.x > 1024 || block.x % simt::kWarp != 0 ||
      block.y != 1)
    return cudaErrorInvalidConfiguration;
  for (unsigned y = 0; y < grid.y; ++y)
    for (unsigned x = 0; x < grid.x; ++x)
      simt::Block::current().run(static_cast<int>(block.x), dim3(x, y),
                                 [&] { kernel(static_cast<Parameters>(arguments)...); });
  return cudaSuccess;
}
