// A team of threads for one call.
#pragma once

#include <cstdint>
#include <functional>

namespace pivotkit {

// Runs `work` on the calling thread and on at most `threads` - 1 others at a time, and returns when all have finished; it
// must not throw, and must do with any number of them, one included. `pieces`: how many can find something to do.
//
// Where the process has an OpenMP runtime at hand with a team of that size (torch brings one), that team is used: after
// every operation of torch its threads keep spinning on their processors for milliseconds, and threads of our own would
// have to share these. Otherwise, and in a process that was forked, threads are started and live for this call.
void run_team(int threads, std::int64_t pieces, const std::function<void()>& work);

}  // namespace pivotkit
