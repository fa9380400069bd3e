// Seeded 64-bit hashes of bytes and integers. Not cryptographic: they spread keys over a table, and every user compares
// the keys themselves, so a collision costs time and never an answer. Same seed, same hash, on little-endian machines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pivotkit {

// Stafford's variant 13 of the MurmurHash3 finalizer: a bijection of 64-bit integers in which each bit moves every bit.
inline std::uint64_t mix64(std::uint64_t x) noexcept {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

// Eight bytes at a time; the length goes in, so a tail padded with zeros is not the same key as those zeros.
inline std::uint64_t hash_bytes(const std::uint8_t* data, std::size_t size, std::uint64_t seed) noexcept {
  std::uint64_t hash = mix64(seed + 0x9E3779B97F4A7C15ULL) ^ size;
  for (; size >= 8; data += 8, size -= 8) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    hash = mix64(hash ^ word) + 0x9E3779B97F4A7C15ULL;
  }
  std::uint64_t tail = 0;
  if (size > 0) std::memcpy(&tail, data, size);
  return mix64(hash ^ tail);
}

}  // namespace pivotkit
