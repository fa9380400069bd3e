// A team of threads for one call.
#pragma once

#include <cstdint>
#include <functional>

namespace pivotkit {

// Runs `work` on the calling thread and on at most `threads` - 1 others at a time. Returns when all have finished.
// `work` must not throw, and must finish with any number of threads, even one. `pieces` says how many threads can find
// something to do.
//
// Where the process has an OpenMP runtime with a team of that size (torch brings one), that team runs the work: its
// threads keep spinning on their processors for milliseconds after every operation of torch, and threads of our own
// would have to share those processors. Otherwise, and in a forked process, threads are started for this call.
void run_team(int threads, std::int64_t pieces, const std::function<void()>& work);

}  // namespace pivotkit
