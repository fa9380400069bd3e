// A team of threads for one call.
#pragma once

#include <functional>

namespace pivotkit {

// Runs `work` on the calling thread and on at most `threads` - 1 others at a time, and returns when all have finished; it
// must not throw, and must do with any number of them, one included.
//
// Where the process has an OpenMP runtime at hand (torch brings one), its team is used: after every operation of torch its
// threads keep spinning on their processors for milliseconds, and threads of our own would have to share these. Otherwise,
// and in a process that was forked from one with such a team, threads are started and live for this call.
void run_team(int threads, const std::function<void()>& work);

}  // namespace pivotkit
