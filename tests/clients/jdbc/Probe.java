import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Asks a server what tools on JDBC ask it, and prints a line for each question: its name, a tab, the answer. */
public final class Probe {
    private interface Question {
        Object ask() throws Exception;
    }

    private final Connection connection;
    private final String database;

    private Probe(Connection connection, String database) {
        this.connection = connection;
        this.database = database;
    }

    /** Arguments: URL, user, password, database, then properties of the connection as name=value. */
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", args[1]);
        properties.setProperty("password", args[2]);
        for (int at = 4; at < args.length; at++) {
            String[] pair = args[at].split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        try (Connection connection = DriverManager.getConnection(args[0], properties)) {
            new Probe(connection, args[3]).run();
        }
        System.exit(0); // the driver's threads would keep us
    }

    private void run() {
        metadata();
        queries();
        limits();
        errors();
    }

    private void metadata() {
        tell("driver", () -> connection.getMetaData().getDriverVersion());
        tell("valid", () -> connection.isValid(5));
        tell("schemas", () -> names(meta().getSchemas(), "TABLE_SCHEM").contains(database));
        tell("catalogs", () -> names(meta().getCatalogs(), "TABLE_CAT") != null);
        tell("tables", () -> names(meta().getTables(null, database, "order%", null), "TABLE_NAME"));
        tell("columns", () -> names(meta().getColumns(null, database, "orders", "%"), "COLUMN_NAME").contains("order_id"));
        tell("types", () -> names(meta().getTypeInfo(), "TYPE_NAME").contains("DateTime64"));
        tell("table types", () -> names(meta().getTableTypes(), "TABLE_TYPE").contains("VIEW"));
        tell("primary keys", () -> names(meta().getPrimaryKeys(null, database, "orders"), "COLUMN_NAME") != null);
        tell("indexes", () -> names(meta().getIndexInfo(null, database, "orders", false, true), "TABLE_NAME") != null);
        tell("functions", () -> names(meta().getFunctions(null, null, "windowFunnel"), "FUNCTION_NAME"));
        tell("procedures", () -> names(meta().getProcedures(null, null, "%"), "PROCEDURE_NAME").isEmpty());
        tell("settings", () -> rows("SELECT name, readonly FROM system.settings WHERE name = 'max_result_rows'"));
    }

    private void queries() {
        tell("one", () -> rows("SELECT 1"));
        tell("count", () -> rows("SELECT count() FROM orders"));
        tell("values", () -> rows("SELECT toDecimal64(1.5, 4), toDateTime64('2026-01-31 08:00:00.5', 6, 'UTC'), 'Grüße 汉字',"
            + " [1, 2], NULL::Nullable(String), map('a', 1)"));
        tell("columns of an answer", () -> {
            try (Statement statement = connection.createStatement();
                    ResultSet answer = statement.executeQuery("SELECT order_id, amount FROM orders LIMIT 0")) {
                return answer.getMetaData().getColumnLabel(1) + " " + answer.getMetaData().getColumnTypeName(2);
            }
        });
        tell("many rows", () -> {
            long sum = 0;
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(1000);
                try (ResultSet answer = statement.executeQuery("SELECT number, toString(number) FROM numbers(1000000)")) {
                    while (answer.next()) {
                        sum += answer.getLong(1) + answer.getString(2).length();
                    }
                }
            }
            return sum;
        });
        tell("prepared", () -> {
            try (PreparedStatement statement = connection.prepareStatement("SELECT ? + 1, ?, length(?)")) {
                List<String> all = new ArrayList<>();
                for (int at = 0; at < 3; at++) {
                    statement.setInt(1, at);
                    statement.setString(2, "it's \\ " + at);
                    statement.setString(3, "x".repeat(5000));
                    try (ResultSet answer = statement.executeQuery()) {
                        all.addAll(read(answer));
                    }
                }
                return all;
            }
        });
        tell("session timezone", () -> rows("SELECT timezone() SETTINGS session_timezone = 'Asia/Shanghai'"));
        tell("set", () -> {
            try (Statement statement = connection.createStatement()) {
                return statement.execute("SET max_execution_time = 20");
            }
        });
        tell("use", () -> {
            try (Statement statement = connection.createStatement()) {
                return statement.execute("USE " + database);
            }
        });
    }

    private void limits() {
        tell("max rows", () -> limitedTo(2000, "SELECT number FROM numbers(1000000)").size());
        tell("more rows than max rows", () -> limitedTo(5, "SELECT number FROM numbers(3)").size());
        tell("query timeout", () -> {
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(30);
                return read(statement.executeQuery("SELECT count() FROM numbers(1000)"));
            }
        });
        // The driver asks four times before it believes this error.
        tell("server's timeout", () -> rows("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7"
            + " SETTINGS max_execution_time = 1"));
        tell("cancel", () -> {
            Statement statement = connection.createStatement();
            CompletableFuture<String> running = CompletableFuture.supplyAsync(() -> {
                try {
                    return "answered " + read(statement.executeQuery(
                        "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 8"));
                } catch (SQLException error) {
                    return "cancelled";
                }
            });
            Thread.sleep(1500);
            statement.cancel();
            return running.get(30, TimeUnit.SECONDS);
        });
        tell("after", () -> rows("SELECT 2"));
    }

    private void errors() {
        tell("syntax error", () -> rows("SELEC 1"));
        tell("unknown table", () -> rows("SELECT * FROM nope"));
        tell("failing", () -> rows("SELECT throwIf(number = 500000) FROM numbers(1000000)"));
        tell("insert", () -> {
            try (Statement statement = connection.createStatement()) {
                return statement.executeUpdate("INSERT INTO orders (order_id) VALUES ('x')");
            }
        });
        tell("batch", () -> {
            try (PreparedStatement statement = connection.prepareStatement("INSERT INTO orders (order_id) VALUES (?)")) {
                for (int at = 0; at < 3; at++) {
                    statement.setString(1, "b" + at);
                    statement.addBatch();
                }
                return statement.executeBatch().length;
            }
        });
        tell("drop", () -> {
            try (Statement statement = connection.createStatement()) {
                return statement.execute("DROP TABLE orders");
            }
        });
        tell("at last", () -> rows("SELECT 3"));
    }

    private DatabaseMetaData meta() throws SQLException {
        return connection.getMetaData();
    }

    private List<String> rows(String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet answer = statement.executeQuery(sql)) {
            return read(answer);
        }
    }

    private List<String> limitedTo(int rows, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.setMaxRows(rows);
            try (ResultSet answer = statement.executeQuery(sql)) {
                return read(answer);
            }
        }
    }

    private static List<String> read(ResultSet answer) throws SQLException {
        List<String> rows = new ArrayList<>();
        while (answer.next()) {
            List<String> row = new ArrayList<>();
            for (int at = 1; at <= answer.getMetaData().getColumnCount(); at++) {
                row.add(answer.getString(at));
            }
            rows.add(String.join("|", row.stream().map(String::valueOf).toList()));
        }
        return rows;
    }

    private static List<String> names(ResultSet answer, String column) throws SQLException {
        List<String> names = new ArrayList<>();
        while (answer.next()) {
            names.add(answer.getString(column));
        }
        return names;
    }

    private static void tell(String name, Question question) {
        String answer;
        try {
            answer = String.valueOf(question.ask());
        } catch (SQLException error) {
            answer = "SQLException " + error.getErrorCode() + " " + error.getMessage();
        } catch (Exception error) {
            answer = error.getClass().getSimpleName() + " " + error.getMessage();
        }
        System.out.println(name + "\t" + answer.replace("\n", " "));
    }
}
