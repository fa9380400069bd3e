// AMX tiles in plain C++, to be included before csrc/unembed/isa/amx.cpp in place of the processor: configuration,
// loads, stores, TDPBF16PS and TDPBSUD by the rules of Intel's manual, with an end of the program where hardware would
// fault.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#undef _tile_dpbsud

namespace amx_emulation {
namespace {

struct Tile {
  int rows, bytes;
  unsigned char data[16][64];
};

struct Tiles {
  bool configured;
  Tile tile[8];
};

thread_local Tiles tiles;

inline void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "AMX emulation: %s\n", what);
  std::abort();
}

inline Tile& tile_of(int t) {
  require(tiles.configured, "no configuration is loaded");
  require(tiles.tile[t].rows != 0, "the tile is not configured");
  return tiles.tile[t];
}

inline void load_config(const void* config) {
  unsigned char bytes[64];
  std::memcpy(bytes, config, sizeof bytes);
  require(bytes[0] == 1 && bytes[1] == 0, "palette 1 from row 0 on is what there is");
  for (int i = 2; i < 16; ++i) require(bytes[i] == 0, "reserved bytes must be zero");
  for (int t = 0; t < 16; ++t) {
    std::uint16_t row_bytes;
    std::memcpy(&row_bytes, bytes + 16 + 2 * t, sizeof row_bytes);
    const int rows = bytes[48 + t];
    require(rows <= 16 && row_bytes <= 64 && row_bytes % 4 == 0 && (rows == 0) == (row_bytes == 0), "a tile's shape");
    require(t < 8 || rows == 0, "there are 8 tiles");
    if (t >= 8) continue;
    tiles.tile[t] = {};
    tiles.tile[t].rows = rows;
    tiles.tile[t].bytes = row_bytes;
  }
  tiles.configured = true;
}

inline void release() { tiles = {}; }

inline void zero(int t) { std::memset(tile_of(t).data, 0, sizeof(Tile::data)); }

inline void load(int t, const void* base, std::int64_t stride) {
  Tile& tile = tile_of(t);
  zero(t);
  for (int r = 0; r < tile.rows; ++r)
    std::memcpy(tile.data[r], static_cast<const char*>(base) + r * stride, static_cast<std::size_t>(tile.bytes));
}

inline void store(int t, void* base, std::int64_t stride) {
  const Tile& tile = tile_of(t);
  for (int r = 0; r < tile.rows; ++r)
    std::memcpy(static_cast<char*>(base) + r * stride, tile.data[r], static_cast<std::size_t>(tile.bytes));
}

inline float flushed(float value) {
  return __builtin_fabsf(value) < 0x1p-126f ? __builtin_copysignf(0.0f, value) : value;
}

// Half `which` of lane `at` of a row, as float32.
inline float half_of(const unsigned char* row, int at, int which) {
  std::uint16_t half;
  std::memcpy(&half, row + 4 * at + 2 * which, sizeof half);
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return flushed(value);
}

inline void require_fitting(int sum, int left, int right) {
  const Tile &c = tile_of(sum), &a = tile_of(left), &b = tile_of(right);
  require(c.rows == a.rows && c.bytes == b.bytes && a.bytes == 4 * b.rows, "tiles that do not fit each other");
  require(sum != left && sum != right && left != right, "a tile twice");
}

// Signed bytes on the left, unsigned ones on the right.
inline void multiply_bytes(int sum, int left, int right) {
  require_fitting(sum, left, right);
  Tile &c = tile_of(sum), &a = tile_of(left), &b = tile_of(right);
  for (int m = 0; m < c.rows; ++m)
    for (int n = 0; n < c.bytes / 4; ++n) {
      std::uint32_t total;
      std::memcpy(&total, c.data[m] + 4 * n, sizeof total);
      for (int k = 0; k < b.rows; ++k)
        for (int which = 0; which < 4; ++which)
          total += static_cast<std::uint32_t>(static_cast<signed char>(a.data[m][4 * k + which]) *
                                              static_cast<int>(b.data[k][4 * n + which]));
#if defined(AMX_WRONG_BYTES)
      total ^= 1u << 7;
#endif
      std::memcpy(c.data[m] + 4 * n, &total, sizeof total);
    }
}

inline void multiply_bfloat16(int sum, int left, int right) {
  require_fitting(sum, left, right);
  Tile &c = tile_of(sum), &a = tile_of(left), &b = tile_of(right);
  for (int m = 0; m < c.rows; ++m)
    for (int n = 0; n < c.bytes / 4; ++n) {
      float parts[2] = {0.0f, 0.0f}, total;
      for (int k = 0; k < b.rows; ++k)
        for (int which = 0; which < 2; ++which)
          parts[which] =
              flushed(__builtin_fmaf(half_of(a.data[m], k, which), half_of(b.data[k], n, which), parts[which]));
      std::memcpy(&total, c.data[m] + 4 * n, sizeof total);
      total = flushed(flushed(total) + flushed(parts[0] + parts[1]));
#if defined(AMX_WRONG_PAIRS)
      total += n == 3 ? 0x1p-8f : 0.0f;
#endif
      std::memcpy(c.data[m] + 4 * n, &total, sizeof total);
    }
}

}  // namespace

// Whether the calling thread has tiles in use.
bool in_use();

}  // namespace amx_emulation

#define _tile_loadconfig(config) amx_emulation::load_config(config)
#define _tile_release() amx_emulation::release()
#define _tile_zero(t) amx_emulation::zero(t)
#define _tile_loadd(t, base, stride) amx_emulation::load(t, base, stride)
#define _tile_stored(t, base, stride) amx_emulation::store(t, base, stride)
#define _tile_dpbf16ps(sum, left, right) amx_emulation::multiply_bfloat16(sum, left, right)
#define _tile_dpbsud(sum, left, right) amx_emulation::multiply_bytes(sum, left, right)

bool amx_emulation::in_use() { return tiles.configured; }
