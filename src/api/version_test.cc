#include "lorapress/version.h"

#include <gtest/gtest.h>
#include <map>

namespace lorapress {
namespace {

TEST(BuildInfo, NamesEachLibraryOnceWithAVersionOfNumbers) {
  const BuildInfo info = build_info();
  EXPECT_EQ(info.version, LORAPRESS_VERSION);
  std::map<std::string, std::string> versions;
  for (const Dependency& dependency : info.dependencies) {
    EXPECT_TRUE(versions.emplace(dependency.name, dependency.version).second) << dependency.name;
    EXPECT_TRUE(std::isdigit(static_cast<unsigned char>(dependency.version.c_str()[0])))
        << dependency.name << " is " << dependency.version;
  }
  for (const char* name : {"libpng", "onnx", "protobuf", "tokenizers", "minijinja", "sha2"}) {
    EXPECT_EQ(versions.count(name), 1U) << name;
  }
}

}  // namespace
}  // namespace lorapress
