// An object and its lock: two Python threads may call one object once the GIL is released.
#pragma once

#include <pybind11/pybind11.h>

#include <mutex>
#include <utility>

namespace pivotkit {

template <class Object>
struct Locked {
  template <class... Arguments>
  explicit Locked(Arguments&&... arguments) : object(std::forward<Arguments>(arguments)...) {}

  // compute(object) with the GIL released and the lock held.
  template <class Compute>
  auto run(Compute&& compute) {
    const pybind11::gil_scoped_release release;
    const std::lock_guard<std::mutex> guard(mutex);
    return compute(object);
  }

  Object object;
  std::mutex mutex;
};

// compute(one.object, other.object) with the GIL released and both locks held. The locks are taken together, so that no
// two calls wait for each other, whatever their order.
template <class One, class Other, class Compute>
auto run_both(Locked<One>& one, Locked<Other>& other, Compute&& compute) {
  const pybind11::gil_scoped_release release;
  const std::scoped_lock guard(one.mutex, other.mutex);
  return compute(one.object, other.object);
}

}  // namespace pivotkit
