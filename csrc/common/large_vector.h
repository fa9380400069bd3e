// A fixed number of values for tables that are looked up at random: on Linux, memory of 2 MiB and more is aligned so that
// the system may back it with huge pages, which spares most lookups a page walk.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pivotkit {

template <class T>
class LargeVector {
  static_assert(std::is_trivially_copyable<T>::value && std::is_trivially_destructible<T>::value, "plain values only");

 public:
  explicit LargeVector(std::size_t size) : size_(size), values_(allocate(size)) { std::fill_n(data(), size, T()); }

  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return size_; }
  T* data() noexcept { return values_.get(); }
  const T* data() const noexcept { return values_.get(); }
  T& operator[](std::size_t i) noexcept { return values_.get()[i]; }
  const T& operator[](std::size_t i) const noexcept { return values_.get()[i]; }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;

  struct Free {
    void operator()(T* values) const noexcept { std::free(values); }
  };

  static T* allocate(std::size_t size) {
    if (size > static_cast<std::size_t>(-1) / sizeof(T) - kHugePage) throw std::bad_alloc();
    const std::size_t bytes = std::max<std::size_t>(size, 1) * sizeof(T);
    void* values = nullptr;
#if defined(__linux__)
    if (bytes >= kHugePage) {
      if (posix_memalign(&values, kHugePage, bytes) != 0) throw std::bad_alloc();
      madvise(values, bytes, MADV_HUGEPAGE);  // advice: a system without huge pages does as well, only slower
      return static_cast<T*>(values);
    }
#endif
    values = std::malloc(bytes);
    if (values == nullptr) throw std::bad_alloc();
    return static_cast<T*>(values);
  }

  std::size_t size_;
  std::unique_ptr<T, Free> values_;
};

}  // namespace pivotkit
