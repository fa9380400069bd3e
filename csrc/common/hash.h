// Seeded 64-bit hashes of bytes and integers. They are not cryptographic: they spread keys over a table, and every
// table compares the keys themselves, so a collision costs time but never changes an answer. The same seed gives the
// same hash on every little-endian machine. Selections are ordered by hash_bytes (documents/text_hashes.h): another
// function would take other documents of equal rank.
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

template <class Word>
std::uint64_t load(const std::uint8_t* data) noexcept {
  Word word;
  std::memcpy(&word, data, sizeof(Word));
  return word;
}

// Reads eight bytes at a time; the last eight overlap those before. The length is mixed with the seed before the first
// byte, so two keys of different lengths may collide under one seed but not under all seeds. All loads have a fixed
// size: a copy of variable size would cost more than the hash.
inline std::uint64_t hash_bytes(const std::uint8_t* data, std::size_t size, std::uint64_t seed) noexcept {
  std::uint64_t hash = mix64(mix64(seed + 0x9E3779B97F4A7C15ULL) + size);
  if (size >= 8) {
    for (std::size_t i = 0; i + 8 < size; i += 8)
      hash = mix64(hash ^ load<std::uint64_t>(data + i)) + 0x9E3779B97F4A7C15ULL;
    return mix64(hash ^ load<std::uint64_t>(data + size - 8));
  }
  if (size >= 4) return mix64(hash ^ (load<std::uint32_t>(data) | load<std::uint32_t>(data + size - 4) << 32));
  if (size == 0) return mix64(hash);
  return mix64(hash ^ (data[0] | std::uint64_t{data[size / 2]} << 8 | std::uint64_t{data[size - 1]} << 16));
}

}  // namespace pivotkit
