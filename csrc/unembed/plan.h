// How a request is cut: rows into blocks and panels, the vocabulary into spans and tiles. Also the memory of each
// worker.
#pragma once

#include <cstdint>
#include <new>
#include <vector>

#include "unembed/certify.h"
#include "unembed/kernels.h"
#include "unembed/unembed.h"

namespace pivotkit {

// Spans depend on the vocabulary alone. Their partial results merge in order, whichever worker computed them.
struct Plan {
  Plan(const UnembedRequest& request, const Products& products);

  std::int64_t span;  // ids of a span, a multiple of kBlock
  std::int64_t spans;
  std::int64_t block;       // rows that pass the weight together
  std::int64_t references;  // of them, those that others are compared with; 0 where nothing is compared
  std::int64_t window;      // rows that are ordered by their references at a time
  int tile;                 // ids of a tile
  int threads;
};

// The same for screening. Every row of every worker has a list of `capacity` open ids.
struct ScreenPlan {
  ScreenPlan(const UnembedRequest& request, const Kernels& kernels, const Products& products);

  std::int64_t span, spans, block, capacity;
  int tile, threads;
};

// Rows of a block dealt to panels of nearly equal size, at most max_rows each.
struct Panels {
  Panels(std::int64_t rows, int max_rows) : rows(rows), count((rows + max_rows - 1) / max_rows) {}
  std::int64_t begin(std::int64_t panel) const { return panel * (rows / count) + std::min(panel, rows % count); }
  std::int64_t rows, count;
};

// Begins at a cache line, so that no register of 64 bytes straddles two lines.
template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* memory, std::size_t) { ::operator delete(memory, kLine); }
  template <class U>
  bool operator==(const LineAllocator<U>&) const {
    return true;
  }
  template <class U>
  bool operator!=(const LineAllocator<U>&) const {
    return false;
  }
  static constexpr std::align_val_t kLine{64};
};
using Lines = std::vector<float, LineAllocator<float>>;

// One worker's scratch for one block of rows.
struct Worker {
  Worker(const UnembedRequest& request, const Plan& plan, const Products& products);

  Lines packed;  // one tile of the weight
  Lines logits;  // of one panel against one tile
  std::vector<std::uint16_t> hits;
  std::vector<std::int32_t> hit_counts;
  std::vector<float> states;          // (rows, kStates, kLanes) of the current span
  std::vector<float> thresholds;      // (rows)
  std::vector<std::uint64_t> keys;    // (rows, k)
  std::vector<std::int32_t> sizes;    // (rows)
  std::vector<std::int32_t> ranks;    // (rows, targets): entries seen by this worker that precede
  std::vector<std::int64_t> cursors;  // (rows, sets), or (sets) where shared: next id of each set

  // For divergences: (references, tile, ...) as kernels.h says of a Reference; a sum in lanes and a shift of each row.
  Lines reference_logits, reference_weights, reference_factors, reference_tops;
  Lines sums;
  std::vector<float> shifts;
};

// The same for screening.
struct ScreenWorker {
  ScreenWorker(const UnembedRequest& request, const ScreenPlan& plan, const Kernels& kernels);

  std::vector<float> logits, errors;  // of one panel against one tile
  std::vector<std::uint16_t> hits;
  std::vector<std::int32_t> hit_counts;
  std::vector<float> states, thresholds;
  std::vector<std::uint64_t> keys;  // the k best lower bounds of each row
  std::vector<std::int32_t> sizes;
  std::vector<std::int32_t> ranks;  // entries that surely precede each target
  std::vector<Open> open;           // (rows, capacity)
  std::vector<std::int32_t> open_counts;
};

}  // namespace pivotkit
