/* Prints the value of what is on each shelf: report DATABASE */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static sqlite3 *db;

static void fail(const char *what) {
    fprintf(stderr, "report: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static sqlite3_stmt *query(const char *sql) {
    sqlite3_stmt *rows;
    if (sqlite3_prepare_v2(db, sql, -1, &rows, NULL) != SQLITE_OK)
        fail(sql);
    return rows;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fputs("usage: report DATABASE\n", stderr);
        return 2;
    }
    if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        fail(argv[1]);
    sqlite3_stmt *rows = query("SELECT shelf, SUM(count), SUM(count * cents) FROM parts GROUP BY shelf");
    int step;
    while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
        long cents = sqlite3_column_int64(rows, 2);
        printf("shelf %s %7lld parts %6ld.%02ld EUR\n", sqlite3_column_text(rows, 0),
               sqlite3_column_int64(rows, 1), cents / 100, cents % 100);
    }
    if (step != SQLITE_DONE)
        fail("parts");
    sqlite3_stmt *seal = query("SELECT value FROM seal");
    if (sqlite3_step(seal) != SQLITE_ROW)
        fail("seal");
    printf("seal %s, user %d\n", sqlite3_column_text(seal, 0), (int)getuid());
    return 0;
}
