#include "score/caption_rules.h"

#include <string>
#include <vector>

namespace lorapress {
namespace {

using std::string;

// Names as in the tokenizer's own description.
const string kApos = R"((\q|&apos;))";
const string kApostrophe = R"((\k|&apos;))";
const string kWord = R"(\l[\l\d]*([.!?]\l[\l\d]*)*)";
const string kNotWord = R"([A-Za-z]*[A-MO-Za-mo-z])";  // in front of n't
const string kNot = "n" + kApostrophe + "t";
const string kShort = kApos + "([msdMSD]|re|ve|ll)";
const string kNumber = R"((\d+|\d*([.:,]\d+)+))";
const string kSigned = "([-+]?" + kNumber + ")";
const string kBlank = R"([ \s])";
const string kAcronym = R"([A-Za-z](\.[A-Za-z])*)";
const string kLongAcronym =
    R"(([A-Za-z](\.[A-Za-z])*|(Canada|Sino|Korean|EU|Japan|non)-U\.S|U\.S\.-(U\.K|U\.S\.S\.R)))";
// d'Avignon, o'clock; then parts behind hyphens.
const string kThing = "([dDoOlL]" + kApostrophe + R"([\a\d])?[\a\d]+([-_]([dDoOlL])" + kApostrophe +
                      R"([\a\d])?[\a\d]+)*)";
const string kHyphened = R"([\a\d][\a\d.,]*(-([\a\d]+|)" + kAcronym + R"(\.))+)";
const string kSlashed = R"([A-Za-z0-9]+(-[A-Za-z]+){0,2}(\\?/[A-Za-z0-9]+(-[A-Za-z]+){0,2}){1,2})";
const string kApostropheWord =
    kApos + "n" + kApos + "?|[lLdDjJ]" + kApos + "|(Dunkin|somethin|ol)" + kApos + "|" + kApos +
    "em|[A-HJ-XZn]" + kApostrophe + R"(\l\l\l*|)" + kApos + "[2-9]0s|" + kApos +
    R"(till?|\l\l*[aeiouyAEIOUY])" + kApostrophe + R"([aeiouA-Z]\l*|)" + kApos +
    "cause|cont'd\\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l";
const string kTag =
    R"(<([!?][A-Za-z-][^>\n]*|/?[A-Za-z][A-Za-z0-9_:.-]*([ ]+([A-Za-z][A-Za-z0-9:.-]*|[A-Za-z][A-Za-z0-9:.-]*[ ]*=[ ]*('[^']*'|"[^"]*"|[A-Za-z][A-Za-z0-9:.-]*)))*[ ]*/?)[ ]*>)";
const string kAddress = R"((https?|ftp)://[^ \s\n<>|"(){}]+[^ \s\n<>|".!?(){},-])";
const string kLikelyAddress =
    R"((www\.([^ \s\n"<>|.!?(){},]+\.)+[a-zA-Z]{2,4}|([^ \s\n"`'<>|.!?(){},:/$_-]+\.)+(com|net|org|edu))(/[^ \s\n"<>|()]+[^ \s\n"<>|.!?(){},-])?)";
const string kMail =
    R"((&lt;|<)?[a-zA-Z0-9][^ \s\n"<>|()]*@([^ \s\n"<>|().]+\.)*[^ \s\n"<>|().]+(&gt;|>)?)";
const string kPhone =
    R"((\([0-9]{2,3}\)[ \s]?|(\+\+?)?([0-9]{2,4}[- \s])?[0-9]{2,4}[- \s])[0-9]{3,4}[- \s]?[0-9]{3,5}|((\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5})";
const string kFile =
    R"([\l\d]+([-./][\l\d]+)*\.(bat|bmp|c|class|cgi|cpp|dll|doc|docx|exe|gif|gz|h|htm|html|jar|java|jpeg|jpg|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|txt|wav|x|xml|zip))";

// Abbreviations keep their dot: those before lower case, and those before names.
const string kMonths = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec";
const string kDays = "Mon|Tue|Tues|Wed|Thu|Thurs|Fri";
const string kStates =
    "Calif|[M]ass|Conn|Fla|[I]ll|Mich|[P]a|Va|Ariz|Tenn|Mo|Md|Wisc?|Minn|Ind|Okla|Wash|Kan|Ga|Colo|Ky|[D]el|Ala|"
    "[L]a|Nev|Neb|Ark|[O]re|Wyo|[T]ex|[M]iss|Mont|Vt|[A]z|Dak|Penn|Ct";
const string kCompanies = "Inc|Cos?|Corp|Pp?t[ye]s?|Ltd|Plc|Rt|Bancorp|Dept|Bhd|Assn|Univ|Intl|Sys";
const string kTitles =
    "Mr|Mrs|Ms|Drs?|Profs?|Sens?|Reps?|Attys?|Lt|Col|Gen|Messrs|Govs?|Adm|Rev|Maj|Sgt|Cpl|Pvt|Capt|Ste?|Ave|Pres|"
    "Lieut|Hon|Brig|Co?mdr|Pfc|Spc|Supts?|Det|Mt|Ft|Adj|Adv|Asst|Assoc|Ens|Insp|Mlle|Mme|Msgr|Sfc";
const string kLater = "Jr|Sr|Bros|(Ed|Ph)\\.D|Blvd|Rd|Esq";
const string kBefore = "(" + kMonths + "|" + kDays + "|" + kStates + "|" + kCompanies +
                       "|tel|est|ext|sq|" + kLater + "|etc|al|seq|Bldg)\\.";
const string kNames =
    "(" + kTitles + "|" + kLongAcronym + "|Invt|Elec|Natl|M[ft]g|Dept|Ph|Wm|Jos|cf|Alex)\\.";

// Words with which a sentence begins: a single letter before them is no initial.
const string kOpeners =
    R"(([A]|[A]bout|[A]ccording|[A]dditionally|[A]fter|[A]n|[A]s|[A]t|[B]ut|[E]arlier|[H]e|[H]er|[H]ere|[H]owever|[I]f|[I]n|[I]t|[L]ast|[M]any|[M]ore|[M]rs?\.|[M]s\.|[N]ow|[O]nce|[O]ne|[O]ther|[O]ur|[S]he|[S]ince|[S]o|[S]ome|[S]uch|[T]hat|[T]he|[T]heir|[T]hen|[T]here|[T]hese|[T]hey|[T]his|[W]e|[W]hen|[W]hile|[W]hat|[Y]et|[Y]ou))";

std::vector<TokenRule> make_rules() {
  std::vector<TokenRule> rules;
  const auto add =
      [&](const string& text, const string& ahead = "", TokenForm form = TokenForm::kText) {
        rules.push_back(
            {Pattern(text), ahead.empty() ? std::nullopt : std::optional<Pattern>(ahead), 0, form});
      };
  add("c\\+\\+|[cCfF]#");
  add("cannot");
  rules.back().left = 3;
  add("gonna|gotta|lemme|gimme|wanna");
  rules.back().left = 2;
  add("'t", "(is|was)");
  add(kTag, "", TokenForm::kBlanks);
  add("&(md|mdash|ndash);", "", TokenForm::kSkipped);
  add("&amp;", "", TokenForm::kEntities);
  add("&(HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);");
  add(kWord, kShort);
  add(kNotWord, kNot);
  add(kWord);
  add(kApostropheWord);
  add("y" + kApos, "\\l");
  add(kAddress);
  add(kLikelyAddress);
  add(kMail);
  add("[@#][A-Za-z_][A-Za-z0-9_]*");
  add(kShort, "[^A-Za-z]", TokenForm::kApostrophes);
  add(kNot, "[^A-Za-z]", TokenForm::kApostrophes);
  add(R"(\d{1,2}[-/]\d{1,2}[-/]\d{2,4})");
  add(kSigned);
  add(R"((\d{1,4}[- \s])?\d{1,4}\\?/\d{1,4})", "", TokenForm::kBlanks);
  add("-(RRB|LRB|RCB|LCB|RSB|LSB)-|C\\.D\\.s|pro-|anti-|S(&|&amp;)P-500|S(&|&amp;)Ls|Cap'n|c'est",
      "",
      TokenForm::kEntities);
  add(kSlashed);
  add(R"([A-Z]*\$|#)");
  add("[A-Za-z]\\.", kBlank + kOpeners + kBlank);
  rules.back().left = 1;
  add(kBefore, kBlank + "(" + kBlank + R"(|\u|\n))");
  add(kBefore, "..");
  add(kNames);
  add("(ca|figs?|prop|nos?|art|bldg|pp|op)\\.", kBlank + R"(?\d)");
  add("vs\\.");
  add(kAcronym, kBlank);
  add(kApos + "[0-9][0-9]", kBlank + "|\\n");
  add(kFile, R"(([ \s\n]|[.?!,]))");
  add(kWord + "\\.", "[,;:]");  // the dot stays, as there
  add(kPhone, "", TokenForm::kBrackets);
  add("\"|&quot;", "", TokenForm::kSkipped);
  add("&lt;|<", "", TokenForm::kEntities);
  add("&gt;|>", "", TokenForm::kEntities);
  add(R"([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])", "[^A-Za-z0-9]", TokenForm::kBrackets);
  add(R"([\^x=~<>]\.[\^x=~<>]|[-\^x=~<>']_[-\^x=~<>']|\([-\^x=~<>'][_.]?[-\^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\))",
      "",
      TokenForm::kBrackets);
  add("-{1,4}", "", TokenForm::kSkipped);
  add("-+");
  add("&nbsp;", "", TokenForm::kSkipped);
  add(R"(\.\.\.+|\.[ \s](\.[ \s])+\.)", "", TokenForm::kSkipped);
  add("@+|#+|_+|\\*+");
  add("[?!]+");
  add(kHyphened, "[^a-zA-Z0-9+]");
  add(kThing);
  add("[A-Z]+(([+&]|&amp;)[A-Z]+)+", "", TokenForm::kEntities);
  add("'", R"([A-Za-z][^ \s\n])", TokenForm::kSkipped);
  add("\\k", "", TokenForm::kSkipped);
  add("<<|>>");
  return rules;
}

}  // namespace

std::span<const TokenRule> token_rules_of_captions() {
  static const std::vector<TokenRule> rules = make_rules();
  return rules;
}

}  // namespace lorapress
