// Adds the seconds of its own life to a total.
#pragma once

#include <chrono>

namespace pivotkit {

class Clock {
 public:
  explicit Clock(double& total) : total_(total), begin_(std::chrono::steady_clock::now()) {}
  ~Clock() { total_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }

 private:
  double& total_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace pivotkit
