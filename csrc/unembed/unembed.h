// Fused unembedding: hidden states against a vocabulary, reduced to what a lens needs, in one pass over the weight.
//
//   z[m, v] = cap((h[m] . w[v] + bias[v]) * logit_scale),   cap(z) = softcap * tanh(z / softcap), or z without it
//
// In PyTorch, without ever holding z:
//   z = linear(hidden.float(), weight.float(), bias) * logit_scale;  logits, ids = z.topk(k)
//   logsumexp = z.logsumexp(-1);  p = softmax(z, -1);  entropy = -(p * p.log()).sum(-1)
//   set_logprobs = p[:, set].sum(-1).log()
//   q = p[references];  kl = (q * (q.log() - p.log())).sum(-1)
//
// Shapes and dtypes: hidden (M, D) and weight (V, D), each float32, bfloat16 or float16; weight rows contiguous;
//   bias (V) float32; targets (M, T), set ids and references (M) int64. Outputs are contiguous, float32 and int64.
// Accumulation: float32. The products of a logit are summed in ascending order of D in runs of 256. So the bits of a
//   logit depend only on its row, its id and whether the instruction set fuses multiply and add. Sums over the
//   vocabulary run in 16 lanes per span of ids; spans merge in ascending order in double. Results are the same to the
//   bit for every number of threads, tile size, workspace and M.
// bfloat16 times bfloat16: neonbf16, avx512bf16 and amx use the processor's own instructions, which treat subnormal
//   values and sums as zero. avx512bf16 adds pairs of dimensions in ascending order in the same runs, the odd
//   dimension of a pair before the even one, each product fused and rounded once. neonbf16 adds the sum of a pair's
//   two products, rounded to odd. amx adds, per 32 dimensions, the sum of the even and the sum of the odd ones, and
//   adds those totals in ascending order.
// Divergence: kl[m] = KL(references[m] || m) in nats. It sums differences of two rows' logits, less a shift per span,
//   weighted by the exponentials of the reference. It is exactly 0 for a row that is its own reference or has the same
//   logits. A result that rounding leaves below 0 becomes 0. A difference that overflows float32 is an error.
// Ties: total order, logit descending, then id ascending. A rank counts the entries that precede: 0 is the top.
// NaN rule: NaN or infinity in hidden, weight or bias is an error that names its first place; so is a product that
//   overflows float32.
// Cost: 2 M V D flops; one read of weight per block of rows that fits the workspace (one block in most calls); one
//   exponential per logit; about k (1 + ln(V / k)) insertions per row and thread. With references also one multiply-add
//   and two subtractions per logit of a compared row, and one exponential per logit of a reference. A reference whose
//   rows lie in several blocks is computed in each of them. Scratch: at most `workspace` bytes.
#pragma once

#include <cstdint>
#include <utility>

#include "common/dtype.h"
#include "common/isa.h"

namespace pivotkit {

struct Matrix {
  const void* data;
  Dtype type;
  std::int64_t rows, cols;
  std::int64_t row_stride, col_stride;  // in elements
};

// CSR: set s of row m is ids[offsets[i]] .. ids[offsets[i + 1]], i = m * sets + s (i = s where shared by all rows);
// ascending and distinct within a set.
struct TokenSets {
  const std::int64_t* ids;
  const std::int64_t* offsets;
  std::int64_t sets;
  bool shared;
};

struct UnembedRequest {
  Matrix hidden, weight;
  std::int64_t k;
  const float* bias;  // (V) or null
  float logit_scale;
  float softcap;                // 0 for none
  const std::int64_t* targets;  // (M, target_count) or null
  std::int64_t target_count;
  TokenSets token_sets;            // sets = 0 for none
  const std::int64_t* references;  // (M), rows of hidden, or null
  int threads;
  Isa isa;
  std::int64_t workspace;  // bytes
  int tile;                // ids of a tile, a multiple of 64; 0 chooses
};

struct UnembedOutput {
  std::int64_t* ids;           // (M, k)
  float* logits;               // (M, k)
  float* logsumexp;            // (M)
  float* target_logits;        // (M, target_count)
  std::int64_t* target_ranks;  // (M, target_count)
  float* set_logprobs;         // (M, sets); minus infinity for an empty set
  float* entropy;              // (M) in nats, or null where not wanted
  float* kl;                   // (M) in nats, not null where there are references
};

void unembed(const UnembedRequest& request, const UnembedOutput& output);

// (row, column) of the first NaN or infinity in row-major order, or (-1, -1).
std::pair<std::int64_t, std::int64_t> first_nonfinite(const Matrix& matrix, int threads);

}  // namespace pivotkit
