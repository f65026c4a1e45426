int guest_main(unsigned long h, const void *f){(void)h;(void)f;return 0;}
