// parallel_for over a range with an explicit number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace pivotkit {

// Calls body(begin, end, worker) for consecutive pieces of [0, count) of `grain` items, on at most `threads` threads.
// Pieces are handed out in ascending order, so each worker sees its pieces in ascending order; worker is in
// [0, threads) and the caller's thread is worker 0. The first exception stops the hand-out and is rethrown here.
// Threads live for one call: there is no pool to be broken by fork().
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, int threads, const Body& body) {
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&](int worker) {
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
  const std::int64_t pieces = (count + grain - 1) / grain;
  const int helpers = static_cast<int>(std::min<std::int64_t>(threads, pieces)) - 1;
  std::vector<std::thread> pool;
  pool.reserve(static_cast<std::size_t>(std::max(helpers, 0)));
  try {
    for (int worker = 1; worker <= helpers; ++worker) pool.emplace_back(work, worker);
  } catch (const std::system_error&) {
    // The system gives no more threads: those that started, and this one, do all the work.
  }
  work(0);
  for (std::thread& thread : pool) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace pivotkit
