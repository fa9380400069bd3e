#include "common/team.h"

#include <system_error>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <unistd.h>
#endif

namespace pivotkit {

namespace {

void start_threads(int threads, const std::function<void()>& work) {
  std::vector<std::thread> pool;
  pool.reserve(static_cast<std::size_t>(threads));
  try {
    for (int i = 1; i < threads; ++i) pool.emplace_back(work);
  } catch (const std::system_error&) {
    // The system gives no more threads: those that started, and this one, do all the work.
  }
  work();
  for (std::thread& thread : pool) thread.join();
}

#if (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_THREAD__)

// Entry of every OpenMP runtime that runs what GCC compiled: function, its data, threads, flags.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

const pid_t kLoadedIn = getpid();

// Looked up at every call, because torch may be imported at any time; never loaded for its own sake.
Parallel runtime() {
  if (getpid() != kLoadedIn) return nullptr;  // a team does not survive fork()
  return reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
}

#else

// The thread sanitizer does not see how an OpenMP runtime synchronizes.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
Parallel runtime() { return nullptr; }

#endif

void call(void* work) { (*static_cast<const std::function<void()>*>(work))(); }

}  // namespace

void run_team(int threads, const std::function<void()>& work) {
  if (threads <= 1) return work();
  if (const Parallel parallel = runtime()) {
    parallel(call, const_cast<std::function<void()>*>(&work), static_cast<unsigned>(threads), 0);
  } else {
    start_threads(threads, work);
  }
}

}  // namespace pivotkit
