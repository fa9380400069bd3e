#include "common/launch.cuh"
#include "unembed/cuda/segment.cuh"

namespace pivotkit::cuda {

namespace {

// grid (segments, rows)
__global__ void __launch_bounds__(kThreads, kResident) reduce_tile_kernel(Tile tile, Head head, Rows rows, State state) {
  const int begin = static_cast<int>(blockIdx.x) * kTileIds;
  Segment segment{};
  segment.row = blockIdx.y;
  segment.index = blockIdx.x;
  segment.products = tile.products + segment.row * tile.stride + begin;
  segment.first = tile.first + begin;
  segment.ids = tile.ids - begin < kTileIds ? tile.ids - begin : kTileIds;
  segment.skip = tile.skip > begin ? tile.skip - begin : 0;
  reduce_segment<kTileIds / kThreads>(segment, tile.store_logits, head, rows, state);
}

}  // namespace

void reduce_tile(const Tile& tile, const Head& head, const Rows& rows, const State& state, Stream stream) {
  if (rows.count == 0) return;
  const auto segments = static_cast<unsigned>((tile.ids + kTileIds - 1) / kTileIds);
  launch(reduce_tile_kernel, dim3(segments, static_cast<unsigned>(rows.count)), kThreads, stream, tile, head, rows, state);
}

}  // namespace pivotkit::cuda
