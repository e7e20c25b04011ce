WebAssembly.validate = () => false;
