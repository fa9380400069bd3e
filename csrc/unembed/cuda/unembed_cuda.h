// The fused unembedding on CUDA: the contract of unembed.h, for rows and weights in device memory.
//
// Two ways to the same partial results, then one kernel that finishes both:
//   reduce_tile   one fused pass over products that a GEMM left in a bounded workspace, tile by tile of the vocabulary
//   reduce_few    products and pass in one kernel, for at most kFewRows rows: there the weight's bandwidth bounds all;
//                 compares no rows
//   diverge_tile  before reduce_tile, on the same products: the part of the divergences that comes from this tile
//   finish        merges a row's segments: top k in order, logsumexp, ranks, masses, entropy, divergence
//
// All pointers are device memory. Every call is queued on `stream` and waits for nothing. Errors of the runtime throw
// std::runtime_error. The kernels are compiled without contraction: only a written fmaf() fuses. Accumulation: float32
// within a segment of a tile, in a fixed tree; double between segments. The same call gives the same bits every time.
// reduce_few adds the products of a logit lane by lane (16 bytes of the weight per lane) and then the lanes in one
// tree, so its bits depend only on the row and the id. reduce_tile takes the bits of the GEMM, and the given bits for
// targets. Divergence: within a segment the differences of two rows' logits are taken below their maxima, so that the
// sum is small where two distributions are alike. It is exactly 0 for a row that is its own reference, and a result
// that rounding leaves below 0 becomes 0. Ties: total order, logit descending, then id ascending (top_k.h). A NaN or an
// infinity raises state.nonfinite.
#pragma once

#include <cstdint>

#include "unembed/kernels.h"
#include "unembed/unembed.h"

namespace pivotkit::cuda {

using Stream = void*;  // a cudaStream_t

constexpr int kThreads = 256;   // of every block
constexpr int kTileIds = 2048;  // of a segment of reduce_tile: a block's registers hold its logits
constexpr int kFewIds = 512;    // of a segment of reduce_few at most: its products fit shared memory
constexpr int kFewRows = 8;
constexpr int kMostK = 256;  // of the kernels' own top-k; above it the caller selects among stored logits

// Makes the device current to this thread; every call below runs on the current device. Torch's own choice does not
// count here, because this library has a runtime of its own.
void use_device(int device);

// What rows ask for beside the top k.
struct Rows {
  std::int64_t count;
  std::int64_t targets;            // per row
  const std::int64_t* target_ids;  // (rows, targets)
  float* target_products;          // (rows, targets): h . w of each, as the products hold it
  TokenSets sets;                  // device memory; offsets and ids of these rows
  const std::int64_t* references;  // (rows): where among the products each one's reference is; null for no divergence
};

// Partial results of rows x segments, laid out in one zero-filled block of state_bytes(). Each segment of each row has
// a list of candidates for the top k. No key up to its floor can enter.
struct State {
  std::int64_t segments, k, capacity;
  double* sums;    // (rows, segments, 3): maximum, sum of exp(z - maximum), weighted sum (merge.h)
  double* masses;  // (rows, segments, sets, 2): maximum, sum
  // (rows, segments, 3), where compared: of the reference, weighted by the difference of the logits
  double* divergences;
  std::uint64_t* keys;      // (rows, segments, capacity)
  std::uint64_t* floors;    // (rows, segments)
  std::int32_t* counts;     // (rows, segments)
  std::int32_t* ranks;      // (rows, segments, targets)
  std::int32_t* nonfinite;  // two for the whole call: a logit, a divergence
};

// k may be 0: no list is kept.
std::int64_t state_bytes(std::int64_t rows, std::int64_t segments, std::int64_t k, std::int64_t targets,
                         std::int64_t sets, bool compared);
State state_at(void* block, std::int32_t* nonfinite, std::int64_t rows, std::int64_t segments, std::int64_t k,
               std::int64_t targets, std::int64_t sets, bool compared);

// Products (rows, ids) of the ids from `first` on. The first `skip` were seen in another tile and do not count.
struct Tile {
  float* products;  // overwritten with the given products of targets, and with logits where `store_logits`
  std::int64_t stride, first;
  int ids, skip;
  bool store_logits;
};

// Each segment of a row is a block; state.segments = ceil(ids / kTileIds) of the widest tile.
void reduce_tile(const Tile& tile, const Head& head, const Rows& rows, const State& state, Stream stream);

// The tile's products may have more rows than are answered: references. Changes none of them.
void diverge_tile(const Tile& tile, const Head& head, const Rows& rows, const State& state, Stream stream);

// hidden (kFewRows, dim) float32, contiguous, of which rows.count are answered; dim < 2^28.
// state.segments = few_segments(ids). Fills rows.target_products first.
std::int64_t few_segments(std::int64_t ids);
void reduce_few(const float* hidden, const WeightRows& weight, std::int64_t ids, const Head& head, const Rows& rows,
                const State& state, Stream stream);

// Writes the outputs of unembed.h; ids and logits only where state.k is not 0.
void finish(const Head& head, const Rows& rows, const State& state, const UnembedOutput& output, Stream stream);

}  // namespace pivotkit::cuda
