#include "common/team.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
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
    // The system gives no more threads. The threads that started, and this one, do all the work.
  }
  work();
  for (std::thread& thread : pool) thread.join();
}

// Entry of every OpenMP runtime that runs what GCC compiled: function, its data, threads, flags.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

#if (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_THREAD__)

// A team does not survive fork(): its threads stay in the parent, and a call in the child would wait for them for ever.
// So a forked process does not use the runtime, whether it forked before or after this library was loaded.
bool forked_before() {
  std::ifstream status("/proc/self/stat");
  std::string line;
  std::getline(status, line);
  // After the name in parentheses: state, parent, group, session, terminal, its group, flags.
  std::istringstream rest(line.substr(std::min(line.rfind(')') + 1, line.size())));
  std::string field;
  for (int i = 0; i < 6; ++i) rest >> field;
  unsigned long flags = 0;
  constexpr unsigned long kForkedWithoutExec = 0x40;
  return rest >> flags && (flags & kForkedWithoutExec) != 0;
}

const pid_t kLoadedIn = forked_before() ? -1 : getpid();

// The runtime, if it has a team of so many threads. Asked for more, it would start threads, and end the process if it
// cannot. It is looked up at every call, because torch may be imported at any time; it is never loaded for this
// purpose.
Parallel runtime(int threads) {
  if (getpid() != kLoadedIn) return nullptr;
  const auto most = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  if (most == nullptr || threads > most()) return nullptr;
  return reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
}

#else

// The thread sanitizer does not see how an OpenMP runtime synchronizes.
Parallel runtime(int) { return nullptr; }

#endif

void call(void* work) { (*static_cast<const std::function<void()>*>(work))(); }

}  // namespace

void run_team(int threads, std::int64_t pieces, const std::function<void()>& work) {
  if (threads <= 1 || pieces <= 1) return work();
  if (const Parallel parallel = runtime(threads)) {
    // One size for all teams of a call: a runtime ends the threads that a smaller team does not need.
    parallel(call, const_cast<std::function<void()>*>(&work), static_cast<unsigned>(threads), 0);
  } else {
    start_threads(static_cast<int>(std::min<std::int64_t>(threads, pieces)), work);
  }
}

}  // namespace pivotkit
