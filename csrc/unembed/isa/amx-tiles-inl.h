// The tiles of AMX, as the products of pairs and the screening use them. Built for AMX, and for its emulation in
// tests/native.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace pivotkit {
namespace {

constexpr int kTileRows = 16;  // of a tile; and 32-bit lanes of a row of it, 64 bytes

// Tiles 0 to 3 are sums, 4 and 5 up to 32 hidden rows, 6 and 7 the weights of 16 ids each. More than 16 rows have their
// sums in 0 and 1 (the first 16 rows) and 2 and 3 (the others); up to 16 rows have room for the sums of 64 ids.
struct TileConfig {
  std::uint8_t palette, start_row, reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64, "the layout is the processor's");

// Keeps ordinary loads and stores on their side of the tile instructions, because GCC's intrinsics do not say that they
// touch memory.
inline void settle(const void* memory) { asm volatile("" : : "r"(memory) : "memory"); }

// Configures the tiles for `rows` hidden rows, until _tile_release().
inline void configure_tiles(int rows) {
  const auto upper = static_cast<std::uint8_t>(rows < kTileRows ? rows : kTileRows);
  const auto lower = static_cast<std::uint8_t>(rows - upper);
  alignas(64) TileConfig config = {};
  config.palette = 1;
  const std::uint8_t second = lower != 0 ? lower : upper;
  const std::uint8_t tile_rows[8] = {upper, upper, second, second, upper, lower, kTileRows, kTileRows};
  for (int t = 0; t < 8; ++t) {
    config.rows[t] = tile_rows[t];
    config.row_bytes[t] = tile_rows[t] == 0 ? 0 : 64;
  }
  settle(&config);
  _tile_loadconfig(&config);
  settle(&config);
}

// The rows of a block of ids whose products are there, each to be finished by `finish(row)`: some at a time, beside the
// tiles of the next block.
template <class Finish>
struct Beside {
  const Finish& finish;
  int rows, at_once;
  int next;  // row; `rows` where all are done
};

// So many that `steps` finish all rows.
inline int rows_at_once(int rows, std::int64_t steps) { return static_cast<int>((rows + steps - 1) / steps); }

template <class Finish>
inline void finish_some(Beside<Finish>& beside) {
  for (int n = 0; n < beside.at_once && beside.next != beside.rows; ++n) beside.finish(beside.next++);
}

template <class Finish>
inline void finish_rest(Beside<Finish>& beside) {
  while (beside.next != beside.rows) beside.finish(beside.next++);
}

}  // namespace
}  // namespace pivotkit
