// Choices about the graphs that press and export write.
#ifndef LORAPRESS_EXPORT_OPTIONS_H_
#define LORAPRESS_EXPORT_OPTIONS_H_

namespace lorapress {

enum class OpDialect {
  kOrt,       // ONNX Runtime's fused operators (com.microsoft) where they are faster
  kStandard,  // operators of ai.onnx only: passes the full checker, runs on any runtime
};

}  // namespace lorapress

#endif  // LORAPRESS_EXPORT_OPTIONS_H_
