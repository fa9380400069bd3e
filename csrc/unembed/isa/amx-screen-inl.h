// Sums of the screening in AMX tiles of int8. They are integers, so they are those of every other instruction set.
// Built for AMX, and for its emulation in tests/native.
//
// A tile of weights is 64 dimensions of 16 ids, and lies in the quantized vocabulary as the tiles want it: four
// dimensions of each id side by side. A tile of hidden rows is 64 dimensions of 16 rows (ScreenKernels::run).
#pragma once

#include "unembed/isa/amx-tiles-inl.h"
#include "unembed/isa/screen-inl.h"

namespace pivotkit {
namespace {

constexpr std::int64_t kTileBytes = 64 * kTileRows;
static_assert(kLanes == kTileRows && kBlock == 4 * kTileRows, "a block of ids is four tiles side by side");

// The sums of up to 16 rows with the 64 ids of a block. `beside` is called after each chunk, while the tiles work.
template <class Finish>
inline void block_sums(const std::int32_t* hidden, std::int64_t hidden_step, const std::uint8_t* const (&weights)[4],
                       std::int64_t chunks, std::int32_t* sums, const Finish& beside) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const std::int64_t at = chunk * kTileBytes;
    _tile_loadd(4, hidden + chunk * hidden_step, 64);
    _tile_loadd(6, weights[0] + at, 64);
    _tile_loadd(7, weights[1] + at, 64);
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_loadd(6, weights[2] + at, 64);
    _tile_loadd(7, weights[3] + at, 64);
    _tile_dpbsud(2, 4, 6);
    _tile_dpbsud(3, 4, 7);
    beside();
  }
  _tile_stored(0, sums, 4 * kBlock);
  _tile_stored(1, sums + kTileRows, 4 * kBlock);
  _tile_stored(2, sums + 2 * kTileRows, 4 * kBlock);
  _tile_stored(3, sums + 3 * kTileRows, 4 * kBlock);
}

// The sums of more than 16 rows with two of a block's tiles.
template <class Finish>
inline void half_block_sums(const std::int32_t* hidden, std::int64_t hidden_step, const std::uint8_t* left,
                            const std::uint8_t* right, std::int64_t chunks, std::int32_t* sums, const Finish& beside) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const std::int32_t* rows = hidden + chunk * hidden_step;
    const std::int64_t at = chunk * kTileBytes;
    _tile_loadd(4, rows, 64);
    _tile_loadd(6, left + at, 64);
    _tile_loadd(7, right + at, 64);
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_loadd(5, rows + kTileRows * kTileRows, 64);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
    beside();
  }
  std::int32_t* lower = sums + kTileRows * kBlock;
  _tile_stored(0, sums, 4 * kBlock);
  _tile_stored(1, sums + kTileRows, 4 * kBlock);
  _tile_stored(2, lower, 4 * kBlock);
  _tile_stored(3, lower + kTileRows, 4 * kBlock);
}

// Screens a panel of up to 32 rows: the products of a block of ids, and beside them what follows those of the block
// before.
void screen_tiles(const ScreenPanel& panel) {
  const std::int64_t chunks = panel.groups / kTileRows, step = std::int64_t{panel.rows} * kTileRows;
  const bool two = panel.rows > kTileRows;
  alignas(64) std::int32_t sums[2][2 * kTileRows * kBlock];  // of the block that is finished and of the next
  int done = 0;
  const auto finish = [&](int row) {
    const std::int32_t* from = sums[done / kBlock % 2] + row * kBlock;
    for (int v = 0; v < kBlock; v += W) store_logits(panel, row, done + v, load_sums(from + v));
    screen_row(panel, row, done, done + kBlock);
  };
  Beside<decltype(finish)> rows{finish, panel.rows, rows_at_once(panel.rows, two ? 2 * chunks : chunks), panel.rows};
  const auto beside = [&] { finish_some(rows); };
  configure_tiles(panel.rows);
  for (int block = 0; block < padded(panel.ids); block += kBlock) {
    const std::uint8_t* weights[4];
    for (int tile = 0; tile < 4; ++tile) weights[tile] = groups_of(panel, block + tile * kTileRows);
    std::int32_t* out = sums[block / kBlock % 2];
    settle(out);
    if (two) {
      half_block_sums(panel.hidden, step, weights[0], weights[1], chunks, out, beside);
      half_block_sums(panel.hidden, step, weights[2], weights[3], chunks, out + 2 * kTileRows, beside);
    } else {
      block_sums(panel.hidden, step, weights, chunks, out, beside);
    }
    settle(out);
    done = block;
    rows.next = 0;
  }
  finish_rest(rows);
  _tile_release();
}

}  // namespace
}  // namespace pivotkit
