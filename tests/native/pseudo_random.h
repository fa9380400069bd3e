#pragma once

#include <cstdint>

namespace {

// Pseudo-random numbers of its own: those of the standard library differ between platforms.
struct Random {
  std::uint64_t state;
  std::uint32_t next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state >> 33);
  }
};

}  // namespace
