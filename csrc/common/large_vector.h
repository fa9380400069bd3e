// A fixed number of values for tables that are looked up at random. On Linux, memory of 2 MiB and more is aligned so that
// the system may back it with huge pages, which spares most look-ups a page walk.
#pragma once

#include <algorithm>
#include <cstddef>
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
    std::align_val_t alignment;
    void operator()(T* values) const noexcept { ::operator delete(values, alignment); }
  };

  static std::unique_ptr<T, Free> allocate(std::size_t size) {
    if (size > (static_cast<std::size_t>(-1) - kHugePage) / sizeof(T)) throw std::bad_alloc();
    std::size_t bytes = size * sizeof(T);
    if (bytes >= kHugePage) bytes = (bytes + kHugePage - 1) / kHugePage * kHugePage;  // the last page too
    const std::align_val_t alignment{bytes >= kHugePage ? kHugePage : alignof(T)};
    std::unique_ptr<T, Free> values(static_cast<T*>(::operator new(bytes, alignment)), Free{alignment});
#if defined(__linux__)
    // Advice: a system without huge pages does as well, only slower.
    if (bytes >= kHugePage) madvise(values.get(), bytes, MADV_HUGEPAGE);
#endif
    return values;
  }

  std::size_t size_;
  std::unique_ptr<T, Free> values_;
};

}  // namespace pivotkit
