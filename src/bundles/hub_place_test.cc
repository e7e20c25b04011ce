#include "bundles/hub_place.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

TEST(HubPlace, TakesWhatFirefoxTakes) {
  for (const char* id : {"mozilla/distilvit", "a/b", "my-org/Name_1.0-x", "0/_"}) {
    for (const char* revision : {"main",
                                 "v1",
                                 "1",
                                 "1.0",
                                 "v10.20.30",
                                 "1.0.0-beta1",
                                 "1.0.0-rc",
                                 "v2-alpha",
                                 "1.0-pre2",
                                 "1-post"}) {
      EXPECT_NO_THROW(check_hub_place({id, revision})) << id << " " << revision;
    }
  }
  EXPECT_EQ(hub_folder("hub", {"a/b", "v1"}), "hub/a/b/v1");
}

TEST(HubPlace, NamesWhatFirefoxRefuses) {
  for (const char* id : {"",
                         "name",
                         "/name",
                         "org/",
                         "-org/a",
                         "org-/a",
                         "o--rg/a",
                         "org/a--b",
                         "org/a/b",
                         "o_rg/a",
                         "org/a b",
                         "org/..",
                         "org/.a",
                         "../a",
                         "org/a:b",
                         "org/\xc3\xa9"}) {
    const auto what =
        message_of(ErrorCode::kInvalidArgument, [&] { check_hub_place({id, "main"}); });
    EXPECT_TRUE(contains(what, "model id") && contains(what, id)) << id << ": " << what;
  }
  for (const char* revision : {"",
                               "Main",
                               "v",
                               "latest",
                               "1.",
                               "1.0.0.0",
                               "1..0",
                               ".1",
                               "v1.0.0-",
                               "1.0.0-dev1",
                               "1.0.0-beta1x",
                               "1.0.0 ",
                               "..",
                               "1/2",
                               "vv1",
                               "1.0.0beta"}) {
    const auto what =
        message_of(ErrorCode::kInvalidArgument, [&] { check_hub_place({"a/b", revision}); });
    EXPECT_TRUE(contains(what, "revision")) << revision << ": " << what;
  }
}

TEST(HubPlace, KnowsTheFileNamesOfItsLoader) {
  for (const char* file : {"config.json",
                           "onnx/encoder_model_quantized.onnx",
                           "README.md",
                           "a",
                           "a/b-c_d/E",
                           "tokenizer_config.json"}) {
    EXPECT_TRUE(hub_takes_file(file)) << file;
  }
  for (const char* file : {"onnx/decoder_model_merged.onnx_data",
                           "chat_template.jinja",
                           "a.b.json",
                           "a.c",
                           "",
                           "/a",
                           "a//b",
                           "a/",
                           "a b",
                           "../a",
                           "a.d/b",
                           ".a",
                           "a.",
                           "a.j2on"}) {
    EXPECT_FALSE(hub_takes_file(file)) << file;
  }
}

}  // namespace
}  // namespace lorapress
