#include <algorithm>

#include "unembed/cuda/unembed_cuda.h"

namespace pivotkit::cuda {

namespace {

// Room for twice the k that must be kept: candidates arrive in bursts, and only a full list is searched.
std::int64_t capacity_of(std::int64_t k) { return k == 0 ? 0 : std::max<std::int64_t>(64, 2 * k); }

// Hands out consecutive arrays of a block, the widest types first so that all are aligned.
class Layout {
 public:
  explicit Layout(void* block) : block_(static_cast<char*>(block)) {}

  template <class T>
  T* take(std::int64_t count) {
    T* const array = block_ == nullptr ? nullptr : reinterpret_cast<T*>(block_ + bytes_);
    bytes_ += count * static_cast<std::int64_t>(sizeof(T));
    return array;
  }

  std::int64_t bytes() const { return bytes_; }

 private:
  char* block_;
  std::int64_t bytes_ = 0;
};

State lay_out(Layout& layout, std::int64_t rows, std::int64_t segments, std::int64_t k, std::int64_t targets,
              std::int64_t sets, bool compared) {
  const std::int64_t parts = rows * segments;
  State state{};
  state.segments = segments;
  state.k = k;
  state.capacity = capacity_of(k);
  state.sums = layout.take<double>(parts * 3);
  state.masses = layout.take<double>(parts * sets * 2);
  state.divergences = layout.take<double>(compared ? parts * 3 : 0);
  state.keys = layout.take<std::uint64_t>(parts * state.capacity);
  state.floors = layout.take<std::uint64_t>(parts);
  state.counts = layout.take<std::int32_t>(parts);
  state.ranks = layout.take<std::int32_t>(parts * targets);
  return state;
}

}  // namespace

std::int64_t state_bytes(std::int64_t rows, std::int64_t segments, std::int64_t k, std::int64_t targets,
                         std::int64_t sets, bool compared) {
  Layout layout(nullptr);
  lay_out(layout, rows, segments, k, targets, sets, compared);
  return layout.bytes();
}

State state_at(void* block, std::int32_t* nonfinite, std::int64_t rows, std::int64_t segments, std::int64_t k,
               std::int64_t targets, std::int64_t sets, bool compared) {
  Layout layout(block);
  State state = lay_out(layout, rows, segments, k, targets, sets, compared);
  state.nonfinite = nonfinite;
  return state;
}

}  // namespace pivotkit::cuda
