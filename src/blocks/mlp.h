// Feed-forward blocks.
#ifndef LORAPRESS_BLOCKS_MLP_H_
#define LORAPRESS_BLOCKS_MLP_H_

#include <string>

#include "blocks/linear.h"

namespace lorapress {

enum class Gelu {
  kTanh,   // gelu_pytorch_tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  kErf,    // exact: 0.5 x (1 + erf(x / sqrt(2)))
  kQuick,  // quick_gelu: x sigmoid(1.702 x)
};

Value gelu(const Builder& b, const std::string& scope, const Value& x, Gelu kind);

// down(gelu(up(x))), as SiglipMLP (tanh), CLIPMLP (quick) and the trainer's MLP projection (erf).
Value gelu_mlp(const Builder& b,
               const std::string& scope,
               const Value& x,
               const LinearWeights& up,
               const LinearWeights& down,
               Gelu kind);

// down(silu(gate(x)) * up(x)), SwiGLU (Shazeer 2020) as LlamaMLP.
Value swiglu_mlp(const Builder& b,
                 const std::string& scope,
                 const Value& x,
                 const LinearWeights& gate,
                 const LinearWeights& up,
                 const LinearWeights& down);

// The same with one product for both halves, as Phi3MLP: the rows of `gate_up` are the gate's and
// then up's.
Value swiglu_mlp(const Builder& b,
                 const std::string& scope,
                 const Value& x,
                 const LinearWeights& gate_up,
                 const LinearWeights& down);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_MLP_H_
