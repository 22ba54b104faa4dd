import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Calls an edge by Connect and by REST with Java's own client; over TLS it chooses HTTP/2 by ALPN. */
public class Rpc {
    static HttpClient client;
    static String base;

    public static void main(String[] arguments) throws Exception {
        base = arguments[0];
        client = arguments.length == 1 ? HttpClient.newHttpClient()
            : HttpClient.newBuilder().sslContext(trusting(arguments[1])).build();

        var unary = client.send(connect("Unary", "{\"stringField\":\"a\"}").header("x-given", "one").build(),
            BodyHandlers.ofString());
        print(unary, unary.body());
        print(unary, value(unary, "x-given") + " " + value(unary, "trailer-cost"));

        var proto = HttpRequest.newBuilder(URI.create(base + "/echo.v1.Echo/Unary"))
            .header("Content-Type", "application/proto")
            .POST(BodyPublishers.ofByteArray(new byte[] {14 << 3 | 2, 1, 'a'})).build();
        var bytes = client.send(proto, BodyHandlers.ofByteArray());
        print(bytes, bytes.body().length + " " + (char) bytes.body()[2]);

        var failed = client.send(connect("Fail", "{\"code\":9,\"message\":\"no\",\"details\":true}").build(),
            BodyHandlers.ofString());
        print(failed, failed.body().replaceAll(",\"details.*type\":\"([^\"]*)\".*", " $1"));

        var late = client.send(connect("Hang", "{}").header("Connect-Timeout-Ms", "300").build(),
            BodyHandlers.ofString());
        print(late, late.body().contains("\"deadline_exceeded\""));

        var stream = HttpRequest.newBuilder(URI.create(base + "/v1/stream/b?int32Field=3"))
            .header("Accept", "text/event-stream").build();
        var events = client.send(stream, BodyHandlers.ofLines());
        print(events, events.body().filter(line -> line.startsWith("data: {\"int32")).count());

        var responses = new ArrayList<CompletableFuture<HttpResponse<String>>>();
        for (var index = 0; index < 20; index++) {
            var request = connect("Unary", "{\"stringField\":\"" + index + "\"}").build();
            responses.add(client.sendAsync(request, BodyHandlers.ofString()));
        }
        for (var response : responses) {
            print(response.get(20, TimeUnit.SECONDS), response.get().body());
        }
    }

    private static HttpRequest.Builder connect(String method, String body) {
        return HttpRequest.newBuilder(URI.create(base + "/echo.v1.Echo/" + method))
            .header("Content-Type", "application/json").header("Connect-Protocol-Version", "1")
            .POST(BodyPublishers.ofString(body));
    }

    private static String value(HttpResponse<?> response, String name) {
        return response.headers().firstValue(name).orElse("none");
    }

    private static void print(HttpResponse<?> response, Object text) {
        System.out.println(response.version() + " " + response.statusCode() + " " + text);
    }

    private static SSLContext trusting(String file) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (var pem = new FileInputStream(file)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
