// Products of bfloat16 rows and weights in AMX tiles. Built for AMX, and for its emulation in tests/native.
//
// Order of a logit's sum: chunks of 32 dimensions in ascending order; the total of each chunk is added to the sum so
// far. Within a chunk the processor sums even and odd dimensions separately, each in ascending order by fused
// multiply-adds, and then adds the two. The bits of a logit depend only on its row and its id, whatever else is in the
// tile.
#pragma once

#include "unembed/isa/amx-tiles-inl.h"
#include "unembed/isa/tile-inl.h"

namespace pivotkit {
namespace {

constexpr int kTileLanes = kTileRows * kTileRows;
constexpr int kChunkLanes = kTileRows * kIds;  // of kIds ids' weights
static_assert(W == kTileRows && kIds == 2 * kTileRows, "a block of ids is two tiles side by side");

// Computes the products of the configured rows and kIds ids. `Two`: there are more than 16 rows, in two tiles.
// `weights` gives the lanes of a chunk, (pairs, ids). The hidden lanes of a chunk, (rows, pairs), lie hidden_step
// behind those of the chunk before. `beside` is called after each chunk, while the tiles work.
template <bool Two, class Weights, class Beside>
inline void multiply_tiles(const float* hidden, std::int64_t hidden_step, std::int64_t chunks, const Weights& weights,
                           float* out, int width, const Beside& beside) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (Two) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const float *h = hidden + chunk * hidden_step, *w = weights(chunk);
    settle(w);
    _tile_loadd(4, h, 64);
    _tile_loadd(6, w, 4 * kIds);
    _tile_loadd(7, w + kTileRows, 4 * kIds);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (Two) {
      _tile_loadd(5, h + kTileLanes, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    settle(w);  // the next chunk may be turned in the same place
    beside();
  }
  const int stride = 4 * width;
  _tile_stored(0, out, stride);
  _tile_stored(1, out + kTileRows, stride);
  if constexpr (Two) {
    _tile_stored(2, out + kTileRows * width, stride);
    _tile_stored(3, out + kTileRows * width + kTileRows, stride);
  }
  settle(out);
}

// Transposes the weights of kIds ids for one chunk, wherever their rows are, into `out`, (pairs, ids).
inline void turn_chunk(const Pair* const (&ids)[kIds], std::int64_t chunk, std::int64_t dim, std::int64_t ahead,
                       float* out) {
  const std::int64_t first = chunk * kTileRows;
  for (int half = 0; half < kIds; half += W) {
    F block[W];
    for (int j = 0; j < W; ++j) {
      const Pair* row = ids[half + j];
      if (first + W <= dim / 2) {
        block[j] = load(row + first);
        if (ahead != 0) __builtin_prefetch(row + first + ahead, 0, 2);
      } else {
        float lanes[W] = {};
        for (int p = 0; p < W && 2 * (first + p) < dim; ++p) lanes[p] = lane_at(row, first + p, dim);
        block[j] = load(lanes);
      }
    }
    transpose(block);
    for (int p = 0; p < W; ++p) store(out + p * kIds + half, block[p]);
  }
}

template <bool Two>
bool panel_products(const Panel& panel) {
  const std::int64_t lanes = lanes_of(panel.dim, kTileRows), chunks = lanes / kTileRows, step = panel.rows * kTileRows;
  alignas(64) float turned[kChunkLanes];
  alignas(64) float products[2][2 * kTileRows * kBlock];  // of the block that is finished and of the next
  int done = 0;
  F poison = broadcast(0.0f);
  const auto finish = [&](int row) {
    float* z = panel.logits + row * padded(panel.ids) + done;
    const float* from = products[done / kBlock % 2] + row * kBlock;
    for (int v = 0; v < kBlock; v += W) store(z + v, load(from + v));
    poison = poison + finish_row(panel, row, done, done + kBlock);
  };
  Beside<decltype(finish)> rows{finish, panel.rows, rows_at_once(panel.rows, 2 * chunks), panel.rows};
  const auto beside = [&] { finish_some(rows); };
  for (int block = 0; block < padded(panel.ids); block += kBlock) {
    for (int first = block; first < block + kBlock; first += kIds) {
      float* out = products[block / kBlock % 2] + (first - block);
      if (panel.weight != nullptr) {
        const float* weights = panel.weight + first * lanes;
        const auto packed = [&](std::int64_t chunk) { return weights + chunk * kChunkLanes; };
        multiply_tiles<Two>(panel.hidden, step, chunks, packed, out, kBlock, beside);
        continue;
      }
      // Ids beyond the last repeat it; finish_row() pads them.
      const Pair* ids[kIds];
      const std::int64_t stride = panel.source.stride;
      for (int j = 0; j < kIds; ++j)
        ids[j] = row_at<Pair>(panel.source.data, (first + j < panel.ids ? first + j : panel.ids - 1) * stride);
      const auto in_place = [&](std::int64_t chunk) -> const float* {
        turn_chunk(ids, chunk, panel.dim, kIds / 2 * stride, turned);
        return turned;
      };
      multiply_tiles<Two>(panel.hidden, step, chunks, in_place, out, kBlock, beside);
    }
    done = block;
    rows.next = 0;
  }
  finish_rest(rows);
  return is_finite(poison);
}

void pack_tiles(const WeightRows& weight, int ids, float* packed) { pack_rows<Pair>(weight, ids, kTileRows, packed); }

bool run_tiles(const Panel& panel) {
  configure_tiles(panel.rows);
  const bool finite = panel.rows > kTileRows ? panel_products<true>(panel) : panel_products<false>(panel);
  _tile_release();
  return finite;
}

void exact_tiles(const float* hidden, int rows, int row, const WeightRows& weight, const Head& head,
                 const std::int64_t* ids, int count, float* out) {
  configure_tiles(1);
  alignas(64) float turned[kChunkLanes], logits[kIds];
  for (int first = 0; first < count; first += kIds) {
    const Pair* at[kIds];
    for (int j = 0; j < kIds; ++j)
      at[j] = row_at<Pair>(weight.data, ids[first + j < count ? first + j : first] * weight.stride);
    const auto gathered = [&](std::int64_t chunk) -> const float* {
      turn_chunk(at, chunk, weight.dim, 0, turned);
      return turned;
    };
    multiply_tiles<false>(hidden + row * kTileRows, rows * kTileRows, lanes_of(weight.dim, kTileRows) / kTileRows,
                          gathered, logits, kIds, [] {});
    for (int j = 0; j < kIds && first + j < count; ++j) out[first + j] = logits[j];
  }
  _tile_release();
  finish_exact(head, ids, count, out);
}

// Up to 32 rows are one panel. Each weight is turned once in any case, and then better beside the tiles than before
// them.
constexpr Products kAmx = {2 * kTileRows, {{}, {2 * kTileRows, 2 * kTileRows}, {}}, kTileRows, pack_tiles, run_tiles,
                           exact_tiles};

}  // namespace
}  // namespace pivotkit
