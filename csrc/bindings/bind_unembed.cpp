// pivotkit._C.unembed and what belongs to it. Arrays cross without a copy; 16-bit floats cross as their bits.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/register.h"
#include "common/require.h"
#include "unembed/certified.h"
#include "unembed/paths.h"
#include "unembed/tiles.h"
#include "unembed/unembed.h"

namespace py = pybind11;

namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Ids = py::array_t<std::int64_t, py::array::c_style>;

pivotkit::Matrix matrix(const py::array& array, const std::string& type, const char* argument) {
  using pivotkit::Dtype;
  const bool wide = type == "float32";
  if (!wide && type != "bfloat16" && type != "float16")
    pivotkit::refuse("unembed", argument, "be float32, bfloat16 or float16", type);
  const py::ssize_t size = wide ? 4 : 2;
  if (array.ndim() != 2 || array.itemsize() != size || array.dtype().kind() != (wide ? 'f' : 'u') ||
      array.strides(0) % size != 0 || array.strides(1) % size != 0)
    pivotkit::refuse("unembed", argument, "be a matrix whose items have the named type", type);
  return {array.data(),
          wide                 ? Dtype::float32
          : type == "bfloat16" ? Dtype::bfloat16
                               : Dtype::float16,
          array.shape(0),
          array.shape(1),
          array.strides(0) / size,
          array.strides(1) / size};
}

// Digits, scales, residuals and norms of csrc/unembed/quantized.h.
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
using Quantized = std::tuple<Bytes, Floats, Floats, Floats>;

pivotkit::QuantizedWeight quantized_weight(const Quantized& arrays, const pivotkit::Matrix& weight) {
  const auto& [digits, scales, residuals, norms] = arrays;
  const std::int64_t rows = pivotkit::padded_rows(weight.rows), cols = pivotkit::padded_cols(weight.cols);
  if (digits.size() != rows * cols || scales.size() != rows || residuals.size() != rows || norms.size() != rows)
    pivotkit::refuse("unembed", "weight", pivotkit::text("be quantized as (", rows, ", ", cols, ")"), digits.size());
  return {digits.data(), scales.data(), residuals.data(), norms.data()};
}

pivotkit::Isa choose_isa(const std::string& name, const pivotkit::UnembedRequest& request, bool screened) {
  using pivotkit::Dtype;
  const bool pairs = request.hidden.type == Dtype::bfloat16 && request.weight.type == Dtype::bfloat16;
  const pivotkit::Isa isa = pivotkit::unembed_isa(name, screened || pairs);
  if ((screened || pairs) && pivotkit::isa_is_default(name) && pivotkit::tiles() == pivotkit::Tiles::wrong) {
    const std::string told = std::string("unembed: amx fails its self-test on this machine; ") +
                             pivotkit::isa_name(isa) + " is used in its place";
    if (PyErr_WarnEx(PyExc_RuntimeWarning, told.c_str(), 1) != 0) throw py::error_already_set();
  }
  return isa;
}

py::dict unembed(const py::array& hidden, const std::string& hidden_type, const py::array& weight,
                 const std::string& weight_type, std::int64_t k, const std::optional<Floats>& bias, float logit_scale,
                 float softcap, const std::optional<Ids>& targets, const std::optional<Ids>& set_ids,
                 const std::optional<Ids>& set_offsets, std::int64_t sets, bool sets_shared, bool entropy, int threads,
                 const std::string& isa, std::int64_t workspace, int tile, const std::optional<Quantized>& quantized,
                 const std::optional<Ids>& references, bool screen_always) {
  pivotkit::UnembedRequest request{};
  request.hidden = matrix(hidden, hidden_type, "hidden");
  request.weight = matrix(weight, weight_type, "weight");
  const std::int64_t rows = request.hidden.rows;
  if (bias && (bias->ndim() != 1 || bias->size() != request.weight.rows))
    pivotkit::refuse("unembed", "bias", pivotkit::text("have ", request.weight.rows, " values"), bias->size());
  if (targets && (targets->ndim() != 2 || targets->shape(0) != rows))
    pivotkit::refuse("unembed", "targets", pivotkit::text("have ", rows, " rows"), targets->size());
  if (references && (references->ndim() != 1 || references->size() != rows))
    pivotkit::refuse("unembed", "references", pivotkit::text("have ", rows, " rows"), references->size());
  request.k = k;
  request.bias = bias ? bias->data() : nullptr;
  request.logit_scale = logit_scale;
  request.softcap = softcap;
  request.targets = targets ? targets->data() : nullptr;
  request.target_count = targets ? targets->shape(1) : 0;
  if (set_ids && set_offsets && sets > 0) {
    const std::int64_t expected = (sets_shared ? sets : rows * sets) + 1;
    if (set_offsets->size() != expected || set_offsets->data()[0] != 0 ||
        set_offsets->data()[expected - 1] != set_ids->size())
      pivotkit::refuse("unembed", "token_sets", pivotkit::text("have ", expected, " offsets that cover its ids"),
                       set_offsets->size());
    for (std::int64_t i = 1; i < expected; ++i)
      if (set_offsets->data()[i] < set_offsets->data()[i - 1])
        pivotkit::refuse("unembed", "token_sets", "have offsets that never fall", set_offsets->data()[i]);
    request.token_sets = {set_ids->data(), set_offsets->data(), sets, sets_shared};
  }
  request.references = references ? references->data() : nullptr;
  request.threads = threads;
  request.isa = choose_isa(isa, request, quantized.has_value());
  request.workspace = workspace;
  request.tile = tile;
  if (k < 1 || k > request.weight.rows)  // before the outputs take their shape from it
    pivotkit::refuse("unembed", "k", pivotkit::text("be from 1 to ", request.weight.rows), k);

  const std::int64_t target_count = request.target_count, set_count = request.token_sets.sets;
  Ids ids({rows, k}), target_ranks({rows, target_count});
  Floats logits({rows, k}), logsumexp(rows), target_logits({rows, target_count}), set_logprobs({rows, set_count});
  Floats row_entropy(entropy ? rows : 0), kl(references ? rows : 0);
  const pivotkit::UnembedOutput output{ids.mutable_data(),
                                       logits.mutable_data(),
                                       logsumexp.mutable_data(),
                                       target_logits.mutable_data(),
                                       target_ranks.mutable_data(),
                                       set_logprobs.mutable_data(),
                                       entropy ? row_entropy.mutable_data() : nullptr,
                                       references ? kl.mutable_data() : nullptr};
  Floats logsumexp_error(quantized ? rows : 0);
  Bytes certified(quantized ? rows : 0);
  if (quantized) {
    const pivotkit::CertifiedOutput both{output, logsumexp_error.mutable_data(), certified.mutable_data()};
    const pivotkit::QuantizedWeight digits = quantized_weight(*quantized, request.weight);
    using pivotkit::Screening;
    const py::gil_scoped_release release;
    pivotkit::unembed_certified(request, digits, both, screen_always ? Screening::always : Screening::where_it_pays);
  } else {
    const py::gil_scoped_release release;
    pivotkit::unembed(request, output);
  }
  py::dict result;
  if (quantized) {
    result["logsumexp_error"] = logsumexp_error;
    result["certified"] = certified;
  }
  result["ids"] = ids;
  result["logits"] = logits;
  result["logsumexp"] = logsumexp;
  result["target_logits"] = target_logits;
  result["target_ranks"] = target_ranks;
  result["set_logprobs"] = set_logprobs;
  result["entropy"] = row_entropy;
  result["kl"] = kl;
  result["isa"] = pivotkit::isa_name(request.isa);
  return result;
}

Quantized quantize(const py::array& weight, const std::string& type, int threads) {
  const pivotkit::Matrix view = matrix(weight, type, "weight");
  const std::int64_t rows = pivotkit::padded_rows(view.rows), cols = pivotkit::padded_cols(view.cols);
  Quantized arrays{Bytes(rows * cols), Floats(rows), Floats(rows), Floats(rows)};
  auto& [digits, scales, residuals, norms] = arrays;
  std::uint8_t* steps = digits.mutable_data();
  float *scale = scales.mutable_data(), *residual = residuals.mutable_data(), *norm = norms.mutable_data();
  {
    const py::gil_scoped_release release;
    pivotkit::quantize(view, threads, steps, scale, residual, norm);
  }
  return arrays;
}

std::optional<std::pair<std::int64_t, std::int64_t>> first_nonfinite(const py::array& values, const std::string& type,
                                                                     int threads) {
  const pivotkit::Matrix view = matrix(values, type, "values");
  std::pair<std::int64_t, std::int64_t> place;
  {
    const py::gil_scoped_release release;
    place = pivotkit::first_nonfinite(view, threads);
  }
  if (place.first < 0) return std::nullopt;
  return place;
}

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const pivotkit::Isa isa : pivotkit::supported_isas()) names.emplace_back(pivotkit::isa_name(isa));
  return names;
}

}  // namespace

void pivotkit::register_unembed(py::module_& m) {
  m.def("unembed", &::unembed, py::arg("hidden").noconvert(), py::arg("hidden_type"), py::arg("weight").noconvert(),
        py::arg("weight_type"), py::arg("k"), py::arg("bias").noconvert().none(true), py::arg("logit_scale"),
        py::arg("softcap"), py::arg("targets").noconvert().none(true), py::arg("set_ids").noconvert().none(true),
        py::arg("set_offsets").noconvert().none(true), py::arg("sets"), py::arg("sets_shared"), py::arg("entropy"),
        py::arg("threads"), py::arg("isa"), py::arg("workspace"), py::arg("tile") = 0,
        py::arg("quantized") = py::none(), py::arg("references").noconvert() = py::none(),
        py::arg("screen_always") = false, "The fused unembedding of csrc/unembed/unembed.h on one matrix of rows.");
  m.def("quantize", &::quantize, py::arg("weight").noconvert(), py::arg("type"), py::arg("threads"),
        "(digits, scales, residuals, norms) of csrc/unembed/quantized.h.");
  m.def("first_nonfinite", &::first_nonfinite, py::arg("values").noconvert(), py::arg("type"), py::arg("threads"),
        "(row, column) of a matrix's first NaN or infinity in row-major order, or None.");
  m.def("isas", &::isas, "Names of the instruction sets that this machine can run, ascending.");
  m.def(
      "select_isa", [](const std::string& name) { return pivotkit::isa_name(pivotkit::unembed_isa(name, true)); },
      py::arg("name") = "",
      "The instruction set of that name, of PIVOTKIT_ISA, or the one for bfloat16 here. It may ask the system for "
      "tiles.");
  m.def(
      "tiles", [] { return pivotkit::tiles_told(pivotkit::tiles()); },
      "Whether AMX's tiles are used: ready, absent, refused by the system, or failing their self-test.");
  m.def(
      "paths",
      [] {
        py::list rows;
        for (const pivotkit::Path& path : pivotkit::paths())
          rows.append(py::make_tuple(path.isa, path.heads, path.exact, path.in_place, path.screen));
        return rows;
      },
      "(instruction set, heads, that of the exact products, most rows in place, that of the screening) by "
      "csrc/unembed/paths.h.");
}
