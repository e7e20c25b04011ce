#include "runtime/generation/chat_template.h"

#include <gtest/gtest.h>
#include <string>

#include "lorapress/error.h"

#include "base/json.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::message_of;
using test::source_path;

std::string refusal(const std::string& text, const Json& messages = Json::array()) {
  return message_of(ErrorCode::kInvalidFile, [&] { apply_chat_template({text}, messages, true); });
}

TEST(ChatTemplate, GoldensOfTransformersAreEqual) {
  const Json golden = read_json(source_path("tests/goldens/chat/chat.json"));
  size_t texts = 0;
  for (const Json& made : golden.at("templates")) {
    const auto name = made.at("name").get<std::string>();
    const ChatTemplate chat{made.at("template"), name, golden.at("tokens")};
    for (const Json& given : made.at("cases")) {
      const auto messages = given.at("messages").get<std::string>();
      SCOPED_TRACE(name + ": " + messages + " " + given.at("extra").dump());
      Json extra = given.at("extra");
      extra["now"] = golden.at("now");
      const bool prompt = given.at("add_generation_prompt").get<bool>();
      const auto render = [&] {
        return apply_chat_template(chat, golden.at("messages").at(messages), prompt, extra);
      };
      if (given.contains("text")) {
        EXPECT_EQ(render(), given.at("text").get<std::string>());
        ++texts;
      } else {
        const std::string message = message_of(ErrorCode::kInvalidFile, render);
        const std::string reason = given.value("raised", "");
        EXPECT_NE(message.find(name + ": the chat template cannot be rendered: " + reason),
                  std::string::npos)
            << message;
      }
    }
  }
  EXPECT_GT(texts, 140U);
}

TEST(ChatTemplate, HostileTemplatesAreRefusedInOneLine) {
  EXPECT_NE(
      refusal("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}")
          .find("too many steps"),
      std::string::npos);
  EXPECT_FALSE(refusal("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").empty());
  EXPECT_FALSE(refusal("{{ " + std::string(100000, '(') + "}}").empty());
  EXPECT_FALSE(refusal("{% include 'other' %}").empty());
  EXPECT_FALSE(refusal("{% for %}").empty());
  EXPECT_FALSE(refusal("{{ 'a' * 99999999999 }}").empty());
  EXPECT_NE(refusal("{% for a in range(20000) %}{{ 'abcdefgh' * 1000 }}{% endfor %}")
                .find("it writes more than"),
            std::string::npos);
  EXPECT_NE(refusal("{% set n = namespace(x='ab') %}{% for i in range(60) %}"
                    "{% set n.x = n.x ~ n.x %}{% endfor %}")
                .find("bytes of memory"),
            std::string::npos);
  const std::string two = refusal("a\n{{ raise_exception('one\ntwo') }}");
  EXPECT_EQ(two.find('\n'), std::string::npos);
  EXPECT_NE(two.find("one two (line 2)"), std::string::npos) << two;
}

TEST(ChatTemplate, MessagesHaveTheFormOfProcessors) {
  EXPECT_EQ(chat_messages("", "Describe it.", true), Json::parse(R"([{"role": "user", "content":
                [{"type": "image"}, {"type": "text", "text": "Describe it."}]}])"));
  EXPECT_EQ(chat_messages("Be brief.", "", true),
            Json::parse(R"([{"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": [{"type": "image"}]}])"));
  EXPECT_EQ(chat_messages("Be brief.", "Hi", false),
            Json::parse(R"([{"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"}])"));
}

}  // namespace
}  // namespace lorapress
