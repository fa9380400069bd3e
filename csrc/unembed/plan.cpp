#include "unembed/plan.h"

#include <algorithm>

#include "common/require.h"
#include "unembed/block_rows.h"
#include "unembed/rotation.h"

namespace pivotkit {

namespace {

constexpr std::int64_t kMostSpans = 128;        // work units: enough to share among cores, few enough to merge
constexpr std::int64_t kMostOrdered = 1 << 16;  // rows: half a mebibyte of them
constexpr std::int64_t kTileBytes = 512 << 10;  // a packed tile stays in the second-level cache

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

std::int64_t round_up(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }

std::int64_t span_of(std::int64_t vocabulary) {
  return round_up((vocabulary + kMostSpans - 1) / kMostSpans, 4 * kBlock);
}

// What a block takes, in all and per row; per worker, and shared by all workers.
struct Bytes {
  std::int64_t shared, shared_row, worker, worker_row;
};

// Fits at least `least` rows into the workspace, and fewer threads if rows alone do not fit.
void fit(const UnembedRequest& request, int max_rows, std::int64_t least, const Bytes& bytes, std::int64_t spans,
         int& threads, std::int64_t& block) {
  const auto rows_with = [&](std::int64_t workers) {
    return (request.workspace - bytes.shared - workers * bytes.worker) /
           (bytes.shared_row + workers * bytes.worker_row);
  };
  threads = static_cast<int>(std::min<std::int64_t>(request.threads, spans));
  while (threads > 1 && rows_with(threads) < std::min<std::int64_t>(request.hidden.rows, max_rows)) --threads;
  block = std::min(rows_with(threads), request.hidden.rows);
  if (block < least)
    refuse("unembed", "workspace",
           text("hold ", least == 1 ? "one row, " : "a row and its reference, ",
                bytes.shared + bytes.worker + least * (bytes.shared_row + bytes.worker_row), " bytes"),
           request.workspace);
}

std::int64_t scratch_rows(const UnembedRequest& request, const Products& products) {
  return std::max(products.max_rows, products.in_place(request.weight.type).rows);
}

}  // namespace

Plan::Plan(const UnembedRequest& request, const Products& products) {
  const std::int64_t lanes = lanes_of(request.weight.cols, products.run), vocabulary = request.weight.rows;
  const std::int64_t sets = request.token_sets.sets;
  span = span_of(vocabulary);
  spans = (vocabulary + span - 1) / span;
  const std::int64_t fitting = kTileBytes / static_cast<std::int64_t>(sizeof(float)) / lanes / kBlock * kBlock;
  tile = request.tile != 0 ? request.tile : static_cast<int>(std::clamp<std::int64_t>(fitting, kBlock, 8 * kBlock));
  tile = static_cast<int>(std::min<std::int64_t>(tile, span));

  Bytes bytes{};
  bytes.shared_row = 4 * (lanes + 3 * spans + 2 * spans * sets) + 8;
  bytes.worker = 4 * lanes * tile + 6 * scratch_rows(request, products) * tile + 8 * sets + 4096;
  bytes.worker_row = 4 * (kStates * kLanes + 2) + 8 * request.k + 4 * request.target_count + 8 * sets;
  const std::int64_t rows = request.hidden.rows, named = count_references(request);
  window = std::min(rows, kMostOrdered);
  if (named != 0) {
    // A block has as large a share of the references as of the rows, and one to spare.
    const std::int64_t reference = 4 * (2 * tile + tile / kBlock * kLanes + kLanes);
    bytes.shared = 8 * window;
    bytes.shared_row += 8 * spans + 8;
    bytes.worker += reference;
    bytes.worker_row += 4 * (kLanes + 1) + (reference * named + rows - 1) / rows;
  }
  fit(request, products.max_rows, named == 0 ? 1 : 2, bytes, spans, threads, block);
  references = named == 0 ? 0 : std::min(named, block * named / rows + 1);
}

ScreenPlan::ScreenPlan(const UnembedRequest& request, const Kernels& kernels, const Products& products) {
  const std::int64_t vocabulary = request.weight.rows, groups = padded_cols(request.weight.cols) / 4;
  span = span_of(vocabulary);
  spans = (vocabulary + span - 1) / span;
  const std::int64_t fitting = kTileBytes / 2 / (4 * groups) / kBlock * kBlock;
  tile = static_cast<int>(std::min(std::clamp<std::int64_t>(fitting, kBlock, 8 * kBlock), span));
  // Of real heads, 0.01 to 1 % of the vocabulary stays open; a list of much more is not worth finishing.
  capacity = std::clamp<std::int64_t>(vocabulary / 32, 256, 4096);

  // Rows to be quantized are float32; exact logits may want pairs of them beside.
  const std::int64_t pairs = products.run == 0 ? 0 : lanes_of(request.weight.cols, products.run);
  Bytes bytes{};
  bytes.shared_row = 4 * (request.weight.cols + pairs) + 4 * groups * kernels.screen->digits + 32 + 4 * kStates * spans;
  // The last term: what one row needs to be finished.
  bytes.worker = 10 * kernels.screen->rows * std::int64_t{tile} + 8 * request.k + 64 * capacity + 4096;
  bytes.worker_row = 4 * (kStates * kLanes + 3) + 8 * request.k + 4 * request.target_count + 12 * capacity;
  fit(request, kernels.screen->rows, 1, bytes, spans, threads, block);
}

Worker::Worker(const UnembedRequest& request, const Plan& plan, const Products& products) {
  const std::int64_t rows = plan.block, sets = request.token_sets.sets;
  packed.resize(size(lanes_of(request.weight.cols, products.run) * plan.tile));
  logits.resize(size(scratch_rows(request, products) * plan.tile));
  hits.resize(logits.size());
  hit_counts.resize(size(scratch_rows(request, products)));
  states.resize(size(rows * kStates * kLanes));
  thresholds.resize(size(rows));
  keys.resize(size(rows * request.k));
  sizes.resize(size(rows));
  ranks.resize(size(rows * request.target_count));
  cursors.resize(size(request.token_sets.shared ? sets : rows * sets));
  if (plan.references == 0) return;
  reference_logits.resize(size(plan.references * plan.tile));
  reference_weights.resize(reference_logits.size());
  reference_factors.resize(reference_logits.size() / kBlock * kLanes);
  reference_tops.resize(size(plan.references * kLanes));
  sums.resize(size(rows * kLanes));
  shifts.resize(size(rows));
}

ScreenWorker::ScreenWorker(const UnembedRequest& request, const ScreenPlan& plan, const Kernels& kernels)
    : logits(size(std::int64_t{kernels.screen->rows} * plan.tile)), errors(logits.size()), hits(logits.size()),
      hit_counts(size(kernels.screen->rows)), states(size(plan.block * kStates * kLanes)), thresholds(size(plan.block)),
      keys(size(plan.block * request.k)), sizes(size(plan.block)), ranks(size(plan.block * request.target_count)),
      open(size(plan.block * plan.capacity)), open_counts(size(plan.block)) {}

}  // namespace pivotkit
