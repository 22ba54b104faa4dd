// The example services Greeter and RouteGuide on @grpc/grpc-js, with @grpc/reflection: prints its port, and ends with
// its standard input. Source: grpc/grpc-node, packages/grpc-reflection
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';

const definition = loader.loadSync(['hello.proto', 'guide.proto'], { includeDirs: [process.argv[2]] });
const { helloworld, routeguide } = grpc.loadPackageDefinition(definition);

const server = new grpc.Server();
server.addService(helloworld.Greeter.service, {
  sayHello: (call, answer) => answer(null, { message: `Hello ${call.request.name}` }),
});
server.addService(routeguide.RouteGuide.service, {
  listFeatures: (call) => {
    for (const location of [call.request.lo, call.request.hi]) call.write({ name: 'corner', location });
    call.end();
  },
  routeChat: (call) => call.end(),
});
new ReflectionService(definition).addToServer(server);
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
process.stdin.resume().on('end', () => server.forceShutdown());
