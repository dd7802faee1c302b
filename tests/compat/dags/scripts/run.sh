test "$A" = 1 && echo {{ ds }}
