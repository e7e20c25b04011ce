// The program of a build with LORAPRESS_ONE_COPY: its code lies in liblorapress_c (cli/main.cc).
extern "C" int lorapress_main(int argc, char** argv);

int main(int argc, char** argv) {
  return lorapress_main(argc, argv);
}
