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

}  // namespace pivotkit
