// parallel_for over a range with an explicit number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>

#include "common/team.h"

namespace pivotkit {

// Calls body(begin, end, worker) for consecutive pieces of [0, count), `grain` items per piece, on at most `threads`
// threads. Pieces are handed out in ascending order, so each worker sees its pieces in ascending order. `worker` is in
// [0, threads). The first exception stops the hand-out and is rethrown here.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, int threads, const Body& body) {
  std::atomic<std::int64_t> next{0};
  std::atomic<int> workers{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    const int worker = workers.fetch_add(1);
    try {
      while (!failed) {
        const std::int64_t begin = next.fetch_add(grain);
        if (begin >= count) return;
        body(begin, std::min(begin + grain, count), worker);
      }
    } catch (...) {
      failed = true;
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  };
  run_team(threads, (count + grain - 1) / grain, work);
  if (error) std::rethrow_exception(error);
}

}  // namespace pivotkit
