// pivotkit._cuda: the kernels of unembed/cuda. Device pointers and streams cross as integers; torch owns the memory.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "common/require.h"
#include "unembed/cuda/unembed_cuda.h"

namespace py = pybind11;

namespace {

using namespace pivotkit;

template <class T>
T* at(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

Dtype dtype_of(const std::string& name) {
  if (name == "float32") return Dtype::float32;
  if (name == "bfloat16") return Dtype::bfloat16;
  if (name == "float16") return Dtype::float16;
  refuse("unembed", "weight", "be float32, bfloat16 or float16", name);
}

Head head(std::uintptr_t bias, float scale, float softcap) { return {at<const float>(bias), scale, softcap}; }

cuda::Rows rows(std::int64_t count, std::int64_t targets, std::uintptr_t target_ids, std::uintptr_t target_products,
                std::uintptr_t set_ids, std::uintptr_t set_offsets, std::int64_t sets, bool shared,
                std::uintptr_t references) {
  return {count,
          targets,
          at<const std::int64_t>(target_ids),
          at<float>(target_products),
          {at<const std::int64_t>(set_ids), at<const std::int64_t>(set_offsets), sets, shared},
          at<const std::int64_t>(references)};
}

cuda::State state(std::uintptr_t block, std::uintptr_t nonfinite, std::int64_t count, std::int64_t segments,
                  std::int64_t k, std::int64_t targets, std::int64_t sets, bool compared) {
  return cuda::state_at(at<void>(block), at<std::int32_t>(nonfinite), count, segments, k, targets, sets, compared);
}

void reduce_tile(std::uintptr_t products, std::int64_t stride, std::int64_t first, int ids, int skip, bool store_logits,
                 const Head& head, const cuda::Rows& rows, const cuda::State& state, std::uintptr_t stream) {
  cuda::reduce_tile({at<float>(products), stride, first, ids, skip, store_logits}, head, rows, state, at<void>(stream));
}

void diverge_tile(std::uintptr_t products, std::int64_t stride, std::int64_t first, int ids, int skip, const Head& head,
                  const cuda::Rows& rows, const cuda::State& state, std::uintptr_t stream) {
  cuda::diverge_tile({at<float>(products), stride, first, ids, skip, false}, head, rows, state, at<void>(stream));
}

void reduce_few(std::uintptr_t hidden, std::uintptr_t weight, const std::string& type, std::int64_t stride,
                std::int64_t dim, std::int64_t ids, const Head& head, const cuda::Rows& rows, const cuda::State& state,
                std::uintptr_t stream) {
  cuda::reduce_few(at<const float>(hidden), {at<const void>(weight), dtype_of(type), stride, dim}, ids, head, rows,
                   state, at<void>(stream));
}

void finish(const Head& head, const cuda::Rows& rows, const cuda::State& state, std::uintptr_t ids,
            std::uintptr_t logits, std::uintptr_t logsumexp, std::uintptr_t target_logits, std::uintptr_t target_ranks,
            std::uintptr_t set_logprobs, std::uintptr_t entropy, std::uintptr_t kl, std::uintptr_t stream) {
  const UnembedOutput output{
      at<std::int64_t>(ids),          at<float>(logits),       at<float>(logsumexp), at<float>(target_logits),
      at<std::int64_t>(target_ranks), at<float>(set_logprobs), at<float>(entropy),   at<float>(kl)};
  cuda::finish(head, rows, state, output, at<void>(stream));
}

}  // namespace

PYBIND11_MODULE(PIVOTKIT_CUDA_MODULE, m, py::mod_gil_not_used()) {
  m.doc() = "CUDA kernels of pivotkit. Use them through pivotkit.kernels.";
  m.attr("TILE_IDS") = cuda::kTileIds;
  m.attr("FEW_ROWS") = cuda::kFewRows;
  m.attr("MOST_K") = cuda::kMostK;
  py::class_<Head>(m, "Head", py::module_local())
      .def(py::init(&head), py::arg("bias"), py::arg("scale"), py::arg("softcap"));
  py::class_<cuda::Rows>(m, "Rows", py::module_local())
      .def(py::init(&rows), py::arg("count"), py::arg("targets"), py::arg("target_ids"), py::arg("target_products"),
           py::arg("set_ids"), py::arg("set_offsets"), py::arg("sets"), py::arg("shared"), py::arg("references"));
  py::class_<cuda::State>(m, "State", py::module_local())
      .def(py::init(&state), py::arg("block"), py::arg("nonfinite"), py::arg("rows"), py::arg("segments"), py::arg("k"),
           py::arg("targets"), py::arg("sets"), py::arg("compared"));
  m.def("use_device", &cuda::use_device, py::arg("device"), "Makes a device current to this thread.");
  m.def("state_bytes", &cuda::state_bytes, py::arg("rows"), py::arg("segments"), py::arg("k"), py::arg("targets"),
        py::arg("sets"), py::arg("compared"), "Bytes of the zero-filled block that a State lies in.");
  m.def("few_segments", &cuda::few_segments, py::arg("ids"), "Segments of reduce_few for so many ids.");
  const auto no_gil = py::call_guard<py::gil_scoped_release>();
  m.def("reduce_tile", &reduce_tile, py::arg("products"), py::arg("stride"), py::arg("first"), py::arg("ids"),
        py::arg("skip"), py::arg("store_logits"), py::arg("head"), py::arg("rows"), py::arg("state"), py::arg("stream"),
        no_gil, "One pass over the products of a tile of the vocabulary.");
  m.def("diverge_tile", &diverge_tile, py::arg("products"), py::arg("stride"), py::arg("first"), py::arg("ids"),
        py::arg("skip"), py::arg("head"), py::arg("rows"), py::arg("state"), py::arg("stream"), no_gil,
        "Divergences of rows from their references over the products of a tile, before reduce_tile.");
  m.def("reduce_few", &reduce_few, py::arg("hidden"), py::arg("weight"), py::arg("type"), py::arg("stride"),
        py::arg("dim"), py::arg("ids"), py::arg("head"), py::arg("rows"), py::arg("state"), py::arg("stream"), no_gil,
        "Products and pass for at most FEW_ROWS rows.");
  m.def("finish", &finish, py::arg("head"), py::arg("rows"), py::arg("state"), py::arg("ids"), py::arg("logits"),
        py::arg("logsumexp"), py::arg("target_logits"), py::arg("target_ranks"), py::arg("set_logprobs"),
        py::arg("entropy"), py::arg("kl"), py::arg("stream"), no_gil,
        "Merges the segments of every row and writes its outputs.");
}
