#include "unembed/paths.h"

#include "unembed/dispatch.h"
#include "unembed/screen_cost.h"

namespace pivotkit {

std::vector<Path> paths() {
  std::vector<Path> found;
  for (const Isa isa : supported_isas()) {
    const Kernels kernels = kernels_of(isa);
    for (const Dtype type : {Dtype::float32, Dtype::bfloat16, Dtype::float16}) {
      UnembedRequest request{};
      request.hidden.type = request.weight.type = type;
      const Products& products = products_of(kernels, request);
      const bool pairs = products.run != 0;
      const char* heads = type == Dtype::float32 ? "float32" : type == Dtype::bfloat16 ? "bfloat16" : "float16";
      found.push_back({isa_name(isa), heads, pairs ? isa_name(isa) : kernels.floats->name, products.in_place(type).most,
                       screen_cost(isa, pairs).pays(0.0, 0.0) ? kernels.screen->name : ""});
    }
  }
  return found;
}

}  // namespace pivotkit
