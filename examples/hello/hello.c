// What `uname -a` of GNU coreutils prints, from a program that needs nothing but a kernel.
#include <stdio.h>
#include <sys/utsname.h>

int main(void) {
    struct utsname name;
    if (uname(&name) != 0) {
        perror("uname");
        return 1;
    }
    printf("%s %s %s %s %s GNU/Linux\n", name.sysname, name.nodename, name.release, name.version,
           name.machine);
    return 0;
}
