#include "unembed/check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "common/parallel.h"
#include "common/require.h"
#include "unembed/kernels.h"

namespace pivotkit {

namespace {

constexpr const char* kFunction = "unembed";

template <class T>
void load_row_as(const Matrix& hidden, std::int64_t row, std::int64_t i, std::int64_t rows, float* panel) {
  const T* values = static_cast<const T*>(hidden.data) + row * hidden.row_stride;
  for (std::int64_t d = 0; d < hidden.cols; ++d) panel[d * rows + i] = widen(values[d * hidden.col_stride]);
}

void load_pairs(const Matrix& hidden, std::int64_t row, std::int64_t i, std::int64_t rows, int run, float* panel) {
  const std::int64_t lanes = lanes_of(hidden.cols, run);
  const bfloat16* values = static_cast<const bfloat16*>(hidden.data) + row * hidden.row_stride;
  const auto bits = [&](std::int64_t d) -> std::uint32_t {
    return d < hidden.cols ? values[d * hidden.col_stride].bits : 0;
  };
  for (std::int64_t p = 0; p < lanes; ++p) {
    const std::uint32_t pair = bits(2 * p) | bits(2 * p + 1) << 16;
    std::memcpy(&panel[(p / run * rows + i) * run + p % run], &pair, sizeof pair);
  }
}

template <class T>
std::int64_t first_nonfinite_in(const Matrix& matrix, std::int64_t row) {
  const T* values = static_cast<const T*>(matrix.data) + row * matrix.row_stride;
  for (std::int64_t d = 0; d < matrix.cols; ++d)
    if (!std::isfinite(widen(values[d * matrix.col_stride]))) return d;
  return -1;
}

void check_range(const char* argument, const char* what, const std::int64_t* values, std::int64_t count,
                 std::int64_t end) {
  for (std::int64_t i = 0; i < count; ++i)
    if (values[i] < 0 || values[i] >= end)
      refuse<std::out_of_range>(kFunction, argument, text("be ", what, " from 0 to ", end - 1), values[i]);
}

void check_sets(const TokenSets& table, std::int64_t rows, std::int64_t vocabulary) {
  const std::int64_t count = table.shared ? table.sets : rows * table.sets;
  if (count == 0) return;
  check_range("token_sets", "ids", table.ids, table.offsets[count], vocabulary);
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t at = table.offsets[i] + 1; at < table.offsets[i + 1]; ++at)
      if (table.ids[at] <= table.ids[at - 1])
        refuse(kFunction, "token_sets", "ascend within a set", text(table.ids[at], " after ", table.ids[at - 1]));
}

}  // namespace

std::pair<std::int64_t, std::int64_t> first_nonfinite(const Matrix& matrix, int threads) {
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  std::pair<std::int64_t, std::int64_t> found{kNone, -1};
  std::mutex mutex;
  parallel_for(matrix.rows, 1024, threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t column = matrix.type == Dtype::float32    ? first_nonfinite_in<float>(matrix, row)
                                  : matrix.type == Dtype::bfloat16 ? first_nonfinite_in<bfloat16>(matrix, row)
                                                                   : first_nonfinite_in<float16>(matrix, row);
      if (column < 0) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      found = std::min(found, {row, column});
      return;
    }
  });
  return found.first == kNone ? std::pair<std::int64_t, std::int64_t>{-1, -1} : found;
}

void check_request(const UnembedRequest& request) {
  const Matrix &hidden = request.hidden, &weight = request.weight;
  if (weight.rows < 1 || weight.rows > std::numeric_limits<std::int32_t>::max() || weight.cols < 1)
    refuse(kFunction, "weight", "be (V, D) with 1 <= V < 2^31 and D >= 1",
           text("(", weight.rows, ", ", weight.cols, ")"));
  if (weight.col_stride != 1 && weight.cols > 1)
    refuse(kFunction, "weight", "have contiguous rows", text("a stride of ", weight.col_stride));
  if (hidden.cols != weight.cols)
    refuse(kFunction, "hidden", text("be (..., ", weight.cols, ") to match weight"), text("(..., ", hidden.cols, ")"));
  if (request.k < 1 || request.k > weight.rows) refuse(kFunction, "k", text("be from 1 to ", weight.rows), request.k);
  if (!std::isfinite(request.logit_scale)) refuse(kFunction, "logit_scale", "be finite", request.logit_scale);
  if (!std::isfinite(request.softcap) || request.softcap < 0.0f)
    refuse(kFunction, "softcap", "be positive", request.softcap);
  if (request.threads < 1) refuse(kFunction, "threads", "be at least 1", request.threads);
  if (request.tile < 0 || request.tile % 64 != 0 || request.tile > 32768)
    refuse(kFunction, "tile", "be a multiple of 64 up to 32768", request.tile);
  for (std::int64_t v = 0; request.bias != nullptr && v < weight.rows; ++v)
    if (!std::isfinite(request.bias[v])) refuse(kFunction, "bias", "be finite", text(request.bias[v], " at id ", v));
  check_range("targets", "ids", request.targets, hidden.rows * request.target_count, weight.rows);
  if (request.references != nullptr) check_range("references", "rows", request.references, hidden.rows, hidden.rows);
  check_sets(request.token_sets, hidden.rows, weight.rows);
  const auto [row, column] = first_nonfinite(hidden, request.threads);
  if (row >= 0) refuse(kFunction, "hidden", "be finite", text("NaN or infinity at row ", row, ", column ", column));
}

void load_row(const Matrix& hidden, std::int64_t row, std::int64_t i, std::int64_t rows, int run, float* panel) {
  if (run != 0) return load_pairs(hidden, row, i, rows, run, panel);
  switch (hidden.type) {
    case Dtype::float32:
      return load_row_as<float>(hidden, row, i, rows, panel);
    case Dtype::bfloat16:
      return load_row_as<bfloat16>(hidden, row, i, rows, panel);
    case Dtype::float16:
      return load_row_as<float16>(hidden, row, i, rows, panel);
  }
}

void refuse_nonfinite_logits(const UnembedRequest& request) {
  const auto [row, column] = first_nonfinite(request.weight, request.threads);
  if (row >= 0) refuse(kFunction, "weight", "be finite", text("NaN or infinity at row ", row, ", column ", column));
  refuse(kFunction, "hidden", "give products with weight that fit float32", "an overflow");
}

}  // namespace pivotkit
