// Products and attention of the engine against ONNX Runtime.
#include <gtest/gtest.h>

#include "one_node.h"

namespace lorapress {
namespace {

using test::EngineInput;
using test::OneNode;

class EngineProducts : public test::EngineNodes {};

TEST_F(EngineProducts, Products) {
  const std::vector<std::pair<Shape, Shape>> shapes = {{{3, 5}, {5, 7}},
                                                       {{2, 3, 5}, {5, 7}},
                                                       {{2, 4, 3, 5}, {2, 4, 5, 6}},
                                                       {{2, 1, 3, 5}, {4, 5, 6}},
                                                       {{1, 33, 70}, {70, 41}},
                                                       {{2, 3, 0, 5}, {5, 2}},
                                                       {{1, 1, 64}, {64, 128}}};
  for (const auto& [a, b] : shapes) {
    OneNode("MatMul").feed(floats(a)).feed(floats(b)).expect_equal(3e-6);
    OneNode("MatMul").feed(floats(a)).constant(floats(b)).expect_equal(3e-6);
  }
  for (const int64_t turned : {0, 1}) {
    const Shape b = turned == 1 ? Shape{17, 9} : Shape{9, 17};
    OneNode("Gemm")
        .feed(floats({3, 9}))
        .constant(floats(b))
        .set("transB", turned)
        .expect_equal(3e-6);
    OneNode("Gemm")
        .feed(floats({3, 9}))
        .constant(floats(b))
        .constant(floats({17}))
        .set("transB", turned)
        .expect_equal(3e-6);
    OneNode("Gemm")
        .feed(floats({3, 9}))
        .feed(floats(b))
        .feed(floats({3, 1}))
        .set("transB", turned)
        .set("alpha", 0.5F)
        .set("beta", 2.0F)
        .expect_equal(3e-6);
    OneNode("Gemm")
        .feed(floats({9, 3}))
        .feed(floats(b))
        .set("transA", int64_t{1})
        .set("transB", turned)
        .expect_equal(3e-6);
  }
  for (const Shape& shape : {Shape{1, 7}, Shape{2, 3, 33}, Shape{4}}) {
    OneNode("DynamicQuantizeLinear").feed(floats(shape)).expect_equal(0, {"y0", "y1", "y2"});
  }
  const EngineInput zero{DType::kU8, {}, {121}};
  OneNode("MatMulInteger")
      .feed(integers({2, 3, 40}, 0, 255, DType::kU8))
      .constant(integers({40, 17}, -64, 64, DType::kI8))
      .feed(zero)
      .expect_equal(0);
  OneNode("MatMulInteger")
      .feed(integers({3, 40}, 0, 255, DType::kU8))
      .constant(integers({40, 17}, 0, 255, DType::kU8))
      .feed(zero)
      .constant({DType::kU8, {}, {128}})
      .expect_equal(0);
}

// With accuracy_level 4 both sides round activations to 8 bits, each in its way.
TEST_F(EngineProducts, BlockProducts) {
  struct Size {
    int64_t inputs, outputs, block;
  };
  for (const auto& [inputs, outputs, block] :
       {Size{64, 17, 32}, Size{96, 40, 32}, Size{44, 9, 32}, Size{128, 33, 64}, Size{48, 16, 16}}) {
    const int64_t blocks = (inputs + block - 1) / block;
    EngineInput scales = floats({outputs * blocks}, 0.1);
    const EngineInput packed = integers({outputs, blocks, block / 2}, 0, 255, DType::kU8);
    const auto product = [&](const Shape& shape) {
      OneNode node("MatMulNBits", "com.microsoft");
      node.feed(floats(shape)).constant(packed).constant(scales);
      node.set("K", inputs).set("N", outputs).set("bits", int64_t{4}).set("block_size", block);
      return node;
    };
    product({2, 3, inputs}).expect_equal(0.02);
    product({1, 1, inputs}).expect_equal(0.02);
    product({2, 1, inputs})
        .constant(integers({outputs * ((blocks + 1) / 2)}, 0, 255, DType::kU8))
        .expect_equal(0.02);
  }
  for (const auto& [inputs, outputs] : {std::pair<int64_t, int64_t>{64, 24}, {44, 32}}) {
    const int64_t count = inputs * outputs;
    OneNode("MatMulBnb4", "com.microsoft")
        .feed(floats({2, 3, inputs}))
        .constant(integers({(count + 1) / 2}, 0, 255, DType::kU8))
        .constant(floats({(count + 31) / 32}))
        .set("K", inputs)
        .set("N", outputs)
        .set("block_size", int64_t{32})
        .set("quant_type", int64_t{1})
        .expect_equal(1e-5);
  }
}

TEST_F(EngineProducts, MultiHeadAttention) {
  for (const auto& [batch, tokens, heads, width] :
       {std::array<int64_t, 4>{1, 5, 2, 8}, {2, 17, 3, 12}, {1, 1, 1, 64}}) {
    const Shape shape{batch, tokens, heads * width};
    OneNode("MultiHeadAttention", "com.microsoft")
        .feed(floats(shape))
        .feed(floats(shape))
        .feed(floats(shape))
        .set("num_heads", heads)
        .expect_equal(5e-6);
    OneNode("MultiHeadAttention", "com.microsoft")
        .feed(floats(shape))
        .feed(floats(shape))
        .feed(floats(shape))
        .skip()
        .skip()
        .feed(floats({batch, 1, tokens, tokens}))
        .set("num_heads", heads)
        .expect_equal(5e-6);
  }
}

TEST_F(EngineProducts, GroupQueryAttention) {
  struct Case {
    int64_t batch, queries, past, heads, kv_heads, width, rotary;
    bool packed;
  };
  for (const Case& c : {Case{1, 6, 0, 4, 2, 16, 1, true},
                        Case{1, 1, 6, 4, 2, 16, 1, true},
                        Case{3, 1, 9, 6, 2, 16, 1, true},
                        Case{2, 5, 0, 3, 3, 16, 0, true},
                        Case{2, 1, 4, 2, 1, 32, 0, false},
                        Case{1, 7, 0, 2, 2, 64, 1, false}}) {
    const int64_t total = c.past + c.queries;
    const int64_t kv = c.kv_heads * c.width;
    OneNode node("GroupQueryAttention", "com.microsoft");
    if (c.packed) {
      node.feed(floats({c.batch, c.queries, c.heads * c.width + 2 * kv})).skip().skip();
    } else {
      node.feed(floats({c.batch, c.queries, c.heads * c.width}))
          .feed(floats({c.batch, c.queries, kv}))
          .feed(floats({c.batch, c.queries, kv}));
    }
    const Shape past{c.batch, c.kv_heads, c.past, c.width};
    node.feed(floats(past)).feed(floats(past));
    node.feed(integers({c.batch}, total - 1, total - 1, DType::kI32))
        .constant({DType::kI32, {}, {static_cast<double>(total)}});
    if (c.rotary == 1) {
      node.constant(floats({20, c.width / 2})).constant(floats({20, c.width / 2}));
    }
    node.set("num_heads", c.heads).set("kv_num_heads", c.kv_heads).set("do_rotary", c.rotary);
    node.expect_equal(5e-6, {"y0", "y1", "y2"});
  }
}

}  // namespace
}  // namespace lorapress
