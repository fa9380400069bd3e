// What one instruction set brings to the fused unembedding: a few functions, compiled from tile-inl.h,
// divergence-inl.h, screen-inl.h, amx-pairs-inl.h and amx-screen-inl.h. They check nothing, allocate nothing and throw
// nothing; unembed.cpp does all that.
#pragma once

#include <cstdint>
#include <limits>

#include "common/dtype.h"

namespace pivotkit {

// Ids are reduced in blocks of kBlock. A tile is a whole number of blocks, so the tile size cannot change a result.
constexpr int kBlock = 64;
// Lanes of the running reductions: as many on every instruction set, whatever the width of its registers.
constexpr int kLanes = 16;
// The products of a logit are summed in ascending order within runs of kDepth, and the runs in ascending order.
constexpr int kDepth = 256;
// Running reductions of one row: kLanes maxima, kLanes sums, kLanes weighted sums.
constexpr int kStates = 3;
// Maximum of a lane that has seen nothing. It is finite, so differences to it are finite too.
constexpr float kLowest = -3.402823466e+38f;
// Padding beyond the end of the vocabulary: below every logit.
constexpr float kPadding = -std::numeric_limits<float>::infinity();

// Rows of the weight, `ids` of them from `data` on.
struct WeightRows {
  const void* data;
  Dtype type;
  std::int64_t stride;  // elements from one row to the next
  std::int64_t dim;
};

// From h . w to the logit: z = (h . w + bias) * scale, then softcap * tanh(z / softcap) where softcap > 0.
struct Head {
  const float* bias;  // null, or one value per vocabulary id
  float scale;
  float softcap;
};

// A panel of hidden rows against a tile of the vocabulary.
struct Panel {
  const float* hidden;  // as Products::run says
  int rows;
  std::int64_t dim;
  const float* weight;  // as pack() laid it, or null: read `source` in place
  WeightRows source;    // from the tile's first id on
  std::int64_t first;   // id of the tile's first entry
  int ids;              // entries of the tile
  Head head;
  bool entropy;
  float* states;                   // (rows, kStates, kLanes), updated
  const float* threshold;          // (rows): only logits above it can enter the top k
  const std::int64_t* sources;     // (rows): which of the request's rows they are
  int targets;                     // per row
  const std::int64_t* target_ids;  // (rows of the request, targets)
  const float* target_logits;      // (rows of the request, targets)
  std::int32_t* target_ranks;      // (rows, targets), updated
  float* logits;                   // (rows, padded(ids)), out
  std::uint16_t* hits;             // (rows, padded(ids)), out: tile positions above the threshold, ascending
  std::int32_t* hit_counts;        // (rows), out
};

// A reference row and a tile: what the divergences of other rows from this row are summed with. Padding weighs nothing.
struct Reference {
  float* logits;   // (padded(ids)), with finite padding
  float* weights;  // (padded(ids)): exp(z - running maximum of the lane)
  float* factors;  // (padded(ids) / kBlock, kLanes): what a block makes of the sums before it
  float* tops;     // (kLanes): the running maxima
};

// Bounds a screened logit of one row: |z - approximate z| <= residual * R[v] + norm * N[v] + rounding. R[v] is the norm
// of what quantization left of weight v, and N[v] the norm of weight v.
struct RowBound {
  float unit;           // value of one step of the quantized row
  std::int32_t offset;  // what the weights' offset of 128 adds to every sum of the row
  float residual, norm, rounding;
  float growth;  // e^x - 1 <= x + x^2 / 2 + growth x^3 for every bound x of the row
};

// A panel of quantized hidden rows against a tile of the quantized vocabulary (quantized.h says how both are laid out).
struct ScreenPanel {
  const std::int32_t* hidden;  // as ScreenKernels says
  int rows;
  std::int64_t groups;                      // of four dimensions
  const std::uint8_t* weight;               // of the tile's first id
  const float *scales, *residuals, *norms;  // of the tile's first id
  std::int64_t first;
  int ids;
  Head head;
  const RowBound* bounds;  // (rows)
  float* states;           // (rows, kStates, kLanes): maxima, sums of exp, sums of (e^error - 1) exp; updated
  const float* threshold;  // (rows): an id whose upper bound is below it cannot enter the top k
  int targets;
  const float* target_logits;  // (rows, targets), exact
  std::int32_t* target_ranks;  // (rows, targets), updated: entries that surely precede
  float* logits;               // (rows, padded(ids)), out
  float* errors;               // (rows, padded(ids)), out
  std::uint16_t* hits;         // (rows, padded(ids)), out: positions that an exact logit must decide
  std::int32_t* hit_counts;    // (rows), out
};

// Ids of a tile rounded up to whole blocks. Static, because what the instruction sets' files use must have internal
// linkage.
static constexpr int padded(int ids) { return (ids + kBlock - 1) / kBlock * kBlock; }

// Rows of a panel that reads the weight in place, and up to how many rows in all panels do so.
struct Direct {
  int rows, most;
};

// Hidden rows and packed weights are 32-bit lanes. A lane is one dimension widened to float32, or a pair of bfloat16
// dimensions: 2p in the low half of lane p and 2p + 1 in the high half, zero beyond the last.
struct Products {
  int max_rows;      // of a panel whose weight is packed
  Direct direct[3];  // by Dtype of the weight; see in_place()
  // 0: lanes are float32, row i's value d at hidden[d * rows + i].
  // Else: they are pairs, `run` of a row side by side, row i's lane p at hidden[(p / run * rows + i) * run + p % run].
  int run;
  // Lays out `ids` rows of the weight for panel(): lanes_of(dim, run) * padded(ids) lanes.
  void (*pack)(const WeightRows& weight, int ids, float* packed);
  // Returns false if a product h . w was not finite.
  bool (*panel)(const Panel& panel);
  // Gives the logits of any `count` ids for row `row` of a panel, in the bits that panel() gives.
  void (*exact)(const float* hidden, int rows, int row, const WeightRows& weight, const Head& head,
                const std::int64_t* ids, int count, float* out);

  const Direct& in_place(Dtype weight) const { return direct[static_cast<int>(weight)]; }
};

// Lanes of a row of `dim` values.
static constexpr std::int64_t lanes_of(std::int64_t dim, int run) {
  return run == 0 ? dim : ((dim + 1) / 2 + run - 1) / run * run;
}

// The work in float32: products of any types, and what follows them.
struct FloatKernels {
  const char* name;  // of the least instruction set that they run on
  Products products;
  // Folds one row's states into out[0] = maximum, out[1] = sum of exp(z - maximum),
  // out[2] = sum of (z - maximum) exp(z - maximum) where the weights are relative to the maximum, else as they are.
  void (*fold)(const float* states, bool relative, float* out);
  // Weighs a tile of a reference row's logits (padded(ids)); raises its maxima.
  void (*weigh)(const float* logits, int ids, const Reference& out);
  // Adds a tile of a row, whose padding it overwrites, to the row's kLanes sums of weight * ((reference's z - z) -
  // shift). `fresh` says that the tile begins a span: the sums begin at zero and the shift is chosen here.
  void (*diverge)(const Reference& reference, float* logits, int ids, bool fresh, float* shift, float* sums);
};

// The screening in int8. Hidden rows are groups of four steps, `run` groups of a row side by side: row i's group g at
// hidden[((g / run * rows + i) * run + g % run) * digits].
struct ScreenKernels {
  const char* name;  // of the least instruction set that they run on
  int digits;        // integers of a group: 1 = four signed bytes, 2 = (0, 2) and (1, 3) as pairs
  int run;
  int rows;  // of a panel
  void (*panel)(const ScreenPanel& panel);
};

// The kernels of one instruction set. An instruction set that adds only some of them takes the rest from a lesser one;
// dispatch.h puts the parts together.
struct Kernels {
  const FloatKernels* floats;
  const Products* pairs;  // of bfloat16 and bfloat16; null where the instruction set multiplies no pairs
  const ScreenKernels* screen;
};

extern const FloatKernels kFloatsScalar, kFloatsNeon, kFloatsAvx2, kFloatsAvx512;
extern const Products kPairsNeonbf16, kPairsAvx512bf16, kPairsAmx;
extern const ScreenKernels kScreenScalar, kScreenNeon, kScreenNeondot, kScreenNeoni8mm;
extern const ScreenKernels kScreenAvx2, kScreenAvx2vnni, kScreenAvx512, kScreenAvx512vnni, kScreenAmx;

}  // namespace pivotkit
