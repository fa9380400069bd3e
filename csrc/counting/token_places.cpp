#include "counting/token_places.h"

namespace pivotkit {
namespace {

constexpr std::size_t kStretch = 64;

template <class Id>
bool holds(const Id* ids, Id token) noexcept {
  Id found = 0;
  for (std::size_t i = 0; i < kStretch; ++i) found |= static_cast<Id>(ids[i] == token);
  return found != 0;
}

}  // namespace

template <class Id>
std::vector<std::int64_t> token_places(const Id* ids, std::size_t size, Id token) {
  std::vector<std::int64_t> places;
  for (std::size_t begin = 0; begin < size; begin += kStretch) {
    const std::size_t end = begin + kStretch < size ? begin + kStretch : size;
    if (end - begin == kStretch && !holds(ids + begin, token)) continue;
    for (std::size_t i = begin; i < end; ++i)
      if (ids[i] == token) places.push_back(static_cast<std::int64_t>(i));
  }
  return places;
}

template std::vector<std::int64_t> token_places(const std::uint16_t*, std::size_t, std::uint16_t);
template std::vector<std::int64_t> token_places(const std::uint32_t*, std::size_t, std::uint32_t);

}  // namespace pivotkit
