#include "common/launch.cuh"
#include "unembed/cuda/divergence.cuh"

namespace pivotkit::cuda {

namespace {

__device__ inline Segment segment_of(const Tile& tile, std::int64_t row) {
  const int begin = static_cast<int>(blockIdx.x) * kTileIds;
  Segment segment{};
  segment.row = row;
  segment.index = blockIdx.x;
  segment.products = tile.products + row * tile.stride + begin;
  segment.first = tile.first + begin;
  segment.ids = tile.ids - begin < kTileIds ? tile.ids - begin : kTileIds;
  segment.skip = tile.skip > begin ? tile.skip - begin : 0;
  return segment;
}

// grid (segments, rows)
__global__ void __launch_bounds__(kThreads, kResident)
    reduce_tile_kernel(Tile tile, Head head, Rows rows, State state) {
  reduce_segment<kTileIds / kThreads>(segment_of(tile, blockIdx.y), tile.store_logits, head, rows, state);
}

// grid (segments, rows)
__global__ void __launch_bounds__(kThreads, kResident)
    diverge_tile_kernel(Tile tile, Head head, Rows rows, State state) {
  const std::int64_t row = blockIdx.y, reference = rows.references[row];
  if (reference == row) return;
  add_divergence<kTileIds / kThreads>(segment_of(tile, reference), segment_of(tile, row), head, state);
}

void launch_tile(void (*kernel)(Tile, Head, Rows, State), const Tile& tile, const Head& head, const Rows& rows,
                 const State& state, Stream stream) {
  if (rows.count == 0) return;
  const auto segments = static_cast<unsigned>((tile.ids + kTileIds - 1) / kTileIds);
  launch(kernel, dim3(segments, static_cast<unsigned>(rows.count)), kThreads, stream, tile, head, rows, state);
}

}  // namespace

void reduce_tile(const Tile& tile, const Head& head, const Rows& rows, const State& state, Stream stream) {
  launch_tile(reduce_tile_kernel, tile, head, rows, state, stream);
}

void diverge_tile(const Tile& tile, const Head& head, const Rows& rows, const State& state, Stream stream) {
  launch_tile(diverge_tile_kernel, tile, head, rows, state, stream);
}

}  // namespace pivotkit::cuda
